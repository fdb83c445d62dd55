"""x."""


def compile_() -> None:
    """Not yet."""
