"""A message's data that waits to be sent, in the buffers that it came in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


class Outgoing:
    """Bytes, taken from the front; then `tail`, which no window counts."""

    __slots__ = ("_parts", "size", "tail")

    def __init__(self, parts: Iterable[bytes | bytearray | memoryview], tail: bytes) -> None:
        self._parts = deque(memoryview(part).cast("B") for part in parts if len(part))
        self.size = sum(map(len, self._parts))
        """Bytes that are left."""
        self.tail = tail
        """The frame that ends the message."""

    def take(self, size: int) -> list[memoryview]:
        """The next `size` bytes, which are not more than are left."""
        self.size -= size
        found = []
        while size:
            part = self._parts.popleft()
            if len(part) > size:
                self._parts.appendleft(part[size:])
                part = part[:size]
            found.append(part)
            size -= len(part)
        return found
