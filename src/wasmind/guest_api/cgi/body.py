"""A request's body as a guest's stdin."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec

Receive: TypeAlias = Callable[[], Awaitable[bytes]]
"""Gives the next part of a request's body, b"" at its end; the edge bounds its time and size.

Raises BodyTimeout, BodyTooLarge, ClientGone: they end the guest and are the run's error.
"""


class BodySource(msgspec.Struct):
    """A `stdio.Source` that asks for a part of the body only when the guest reads, and holds one part at
    most.
    """

    receive: Receive | None
    """None: the body has ended, or the request has none."""
    terminal: bool = False
    _part: bytes = b""
    _position: int = 0

    @property
    def ready(self) -> bool:
        """Whether bytes, or the end, are at hand."""
        return self.receive is None or self._position < len(self._part)

    def take(self, limit: int) -> memoryview | bytes | None:
        """Give what is at hand."""
        start = self._position
        if start >= len(self._part):
            return b"" if self.receive is None else None
        self._position = min(start + limit, len(self._part))
        return memoryview(self._part)[start : self._position]

    async def wait(self) -> None:
        """Receive the next part."""
        if self.receive is None:
            return
        self._part = await self.receive()
        self._position = 0
        if not self._part:
            self.receive = None
