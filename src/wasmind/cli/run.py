"""x."""


def run() -> None:
    """Not yet."""
