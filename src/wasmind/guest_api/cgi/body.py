"""A request's body as a guest's stdin."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

Receive: TypeAlias = Callable[[], Awaitable[bytes]]
"""Gives the next part of a request's body, b"" at its end; the edge bounds its time and size.

Raises BodyTimeout, BodyTooLarge, ClientGone: they end the guest and are the run's error.
"""


class BodySource:
    """A `stdio.Source` that asks for a part of the body only when the guest reads, and holds one part at
    most.
    """

    __slots__ = ("_ended", "_part", "_position", "_receive", "terminal")

    def __init__(self, receive: Receive | None) -> None:
        """`receive` is None for a request without a body."""
        self._receive = receive
        self._part = b""
        self._position = 0
        self._ended = receive is None
        self.terminal = False

    @property
    def ready(self) -> bool:
        """Whether bytes, or the end, are at hand."""
        return self._ended or self._position < len(self._part)

    def take(self, limit: int) -> memoryview | bytes | None:
        """Give what is at hand."""
        start = self._position
        if start >= len(self._part):
            return b"" if self._ended else None
        self._position = min(start + limit, len(self._part))
        return memoryview(self._part)[start : self._position]

    async def wait(self) -> None:
        """Receive the next part."""
        if self._receive is None or self._ended:
            return
        self._part = await self._receive()
        self._position = 0
        self._ended = not self._part
