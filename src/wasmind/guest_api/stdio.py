"""A guest's standard streams, as its host sees them: where stdin's bytes come from, where stdout's and
stderr's go.

Both protocols have a fast path that never suspends the guest: bytes at hand are taken at once, and bytes
written are kept until a bounded window is full.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Awaitable
from typing import Protocol

from wasmind.nn.tensor import Buffer


class Source(Protocol):
    """Where a guest's stdin comes from."""

    terminal: bool
    """Whether a person types it, so that the guest's library buffers by lines."""

    @property
    def ready(self) -> bool:
        """Whether `take` has an answer now."""

    def take(self, limit: int) -> Buffer | None:
        """Give 1 to `limit` bytes at hand, b"" at the end, or None when one has to wait. `limit` is at least
        1.
        """

    async def wait(self) -> None:
        """Wait until `take` has an answer. May raise what ended the stream; that ends the guest."""


class Sink(Protocol):
    """Where a guest's stdout or stderr goes."""

    terminal: bool
    """Whether a person reads it, so that the guest's library buffers by lines."""

    def write(self, data: bytes) -> Awaitable[None] | None:
        """Take `data`. What it returns must be awaited before the next write: the reader is slower than the
        guest.
        """

    def flush(self) -> None:
        """Start passing on what is kept: the guest is about to wait for something else."""

    def close(self) -> Awaitable[None] | None:
        """The guest closed the stream: nothing more will come."""


class BytesSource:
    """A stdin that is all there from the beginning."""

    __slots__ = ("_data", "_position", "terminal")

    def __init__(self, data: Buffer = b"") -> None:
        self._data = data
        self._position = 0
        self.terminal = False

    @property
    def ready(self) -> bool:
        """Always."""
        return True

    def take(self, limit: int) -> Buffer:
        """Give the next bytes."""
        start = self._position
        self._position = min(len(self._data), start + limit)
        return self._data[start : self._position]

    async def wait(self) -> None:
        """There is nothing to wait for."""


class BytesSink:
    """An output that is kept whole, up to `limit` bytes; what goes beyond it is counted and dropped."""

    __slots__ = ("_kept", "dropped", "limit", "terminal")

    def __init__(self, limit: int = 1 << 20) -> None:
        self._kept = bytearray()
        self.limit = limit
        self.dropped = 0
        self.terminal = False

    def write(self, data: bytes) -> None:
        """Keep `data`."""
        room = self.limit - len(self._kept)
        self._kept += data[:room]
        self.dropped += max(0, len(data) - room)

    def flush(self) -> None:
        """Everything is where it belongs."""

    def close(self) -> None:
        """Nothing is held open."""

    @property
    def value(self) -> bytes:
        """What was written."""
        return bytes(self._kept)


class FileSource:
    """A stdin read from a file descriptor of this process: a terminal, a pipe or a file."""

    __slots__ = ("_fd", "terminal")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.terminal = os.isatty(fd)

    @property
    def ready(self) -> bool:
        """Whether reading would not block; a file never does."""
        return bool(select.select((self._fd,), (), (), 0)[0])

    def take(self, limit: int) -> bytes | None:
        """Read what is there."""
        return os.read(self._fd, min(limit, 1 << 20)) if self.ready else None

    async def wait(self) -> None:
        """Wait until the descriptor is readable."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._fd, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(self._fd)


class FileSink:
    """An output to a file descriptor of this process; it blocks while its reader is slow, as a command's
    output does.
    """

    __slots__ = ("_fd", "terminal")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.terminal = os.isatty(fd)

    def write(self, data: bytes) -> None:
        """Write all of `data`. Raises BrokenPipeError when nobody reads any more."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    def flush(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """The descriptor belongs to the process, not to the guest."""


def seen(future: asyncio.Future[None]) -> None:
    """Take note of how a future ended that nobody awaits any more (a done callback)."""
    if not future.cancelled():
        future.exception()
