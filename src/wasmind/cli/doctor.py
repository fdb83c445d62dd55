"""x."""


def doctor() -> None:
    """Not yet."""
