"""How a guest exits by itself."""

from __future__ import annotations


class Exit(BaseException):
    """Ends a guest from inside a host function; no host function catches it by accident."""
