"""`wasi:io` streams over the host's sources and sinks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeAlias

from wasmind.component.abi.values import Err
from wasmind.errors import GuestTrap
from wasmind.guest_api.stdio import Sink, Source, seen
from wasmind.guest_api.wasi.p2.pollable import Pollable
from wasmind.nn.tensor import Buffer

CHUNK = 256 << 10
"""Bytes one read gives at most."""
ROOM = 64 << 10
"""Bytes one write may bring."""


class StreamFailure(OSError):
    """What a source or sink raises when an operation fails; `detail` is its kind's own error."""

    def __init__(self, text: str, detail: object = None) -> None:
        super().__init__(text)
        self.detail = detail


class IoError:
    """A `wasi:io/error`."""

    __slots__ = ("detail", "text")

    def __init__(self, text: str, detail: object = None) -> None:
        self.text = text
        self.detail = detail


Failed: TypeAlias = Err[object]
"""A `stream-error`."""

CLOSED: Failed = Err("closed")


class InputStream(Pollable):
    """An `input-stream`, ready when there are bytes, the end or an error. After that it answers `closed`."""

    __slots__ = ("_ended", "_receiving", "_source", "dropped")

    def __init__(self, source: Source) -> None:
        self._source = source
        self._ended = False
        self._receiving: asyncio.Future[None] | None = None
        self.dropped = False
        """Whether the guest has no handle of it any more."""

    def take(self, length: int) -> Buffer | Failed | None:
        """Up to `length` bytes at hand; None when one has to wait for them."""
        if self._ended:
            return CLOSED
        if not length:
            return b""
        try:
            self._settle()
            data = self._source.take(min(length, CHUNK))
        except OSError as error:
            self._ended = True
            return failed(error)
        if data is not None and not len(data):
            self._ended = True
            return CLOSED
        return data

    async def take_later(self, length: int) -> Buffer | Failed:
        """As `take`, but wait for at least one byte."""
        while (data := self.take(length)) is None:
            await self.wait()
        return data

    @property
    def ready(self) -> bool:
        """Whether `take` has an answer now."""
        return self._ended or self._source.ready or (self._receiving is not None and self._receiving.done())

    def wait(self) -> Awaitable[object]:
        """Wait until `take` has an answer. If the wait is given up, what it receives is not lost."""
        if self._receiving is None:
            self._receiving = asyncio.ensure_future(self._source.wait())
        return asyncio.wait((self._receiving,))

    def _settle(self) -> None:
        """Raise what receiving raised."""
        if self._receiving is not None and self._receiving.done():
            receiving, self._receiving = self._receiving, None
            receiving.result()

    def abandon(self) -> None:
        """The guest is gone, and waits for nothing any more."""
        self.close()

    def close(self) -> None:
        """Nobody reads any more."""
        self.dropped = self._ended = True
        if self._receiving is not None:
            self._receiving.cancel()
            self._receiving.add_done_callback(seen)


class OutputStream(Pollable):
    """An `output-stream`, ready when its reader is less than a window behind. A failure closes it."""

    __slots__ = ("_closed", "_passing", "_sink", "dropped")

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._closed = False
        self._passing: asyncio.Future[None] | None = None
        self.dropped = False
        """Whether the guest has no handle of it any more."""

    def room(self) -> int | Failed:
        """Bytes that `write` takes now."""
        if self._closed:
            return CLOSED
        if self._passing is not None:
            if not self._passing.done():
                return 0
            passing, self._passing = self._passing, None
            try:
                passing.result()
            except OSError as error:
                return self._fail(error)
        return ROOM

    def write(self, data: bytes) -> Failed | None:
        """Pass bytes on. Raises GuestTrap if they are more than there is room for."""
        room = self.room()
        if not isinstance(room, int):
            return room
        if len(data) > room:
            raise GuestTrap(f"the function wrote {len(data)} bytes", cause=f"the stream had room for {room}")
        try:
            waiting = self._sink.write(data)
        except OSError as error:
            return self._fail(error)
        if waiting is not None:
            self._passing = asyncio.ensure_future(waiting)
        return None

    def flush(self) -> Failed | None:
        """Begin to pass on everything that was written."""
        room = self.room()
        if not isinstance(room, int):
            return room
        self._sink.flush()
        return None

    async def drain(self) -> Failed | None:
        """Wait until there is room again."""
        await self.wait()
        room = self.room()
        return None if isinstance(room, int) else room

    @property
    def ready(self) -> bool:
        """Whether `room` is not 0."""
        return self._passing is None or self._passing.done()

    async def wait(self) -> None:
        """Wait until `room` is not 0."""
        if self._passing is not None and not self._passing.done():
            await asyncio.wait((self._passing,))

    def close(self) -> None:
        """Nobody writes any more; what was written goes its way."""
        self.dropped = self._closed = True
        if self._passing is not None:
            self._passing.add_done_callback(seen)

    def abandon(self) -> None:
        """The guest is gone, and waits for nothing any more."""
        self.close()
        if self._passing is not None:
            self._passing.cancel()

    def _fail(self, error: OSError) -> Failed:
        self._closed = True
        return failed(error)


def failed(error: OSError) -> Failed:
    """The `last-operation-failed` that an error is."""
    return Err(("last-operation-failed", IoError(str(error), getattr(error, "detail", None))))
