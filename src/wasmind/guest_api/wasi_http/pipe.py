"""A bounded buffer between a guest that writes a body and whoever sends it on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from wasmind.guest_api.wasi.p2.streams import StreamFailure

WINDOW = 64 << 10
"""Bytes kept before the guest has to wait."""


class BodyPipe:
    """A body on its way out (a `stdio.Sink`)."""

    __slots__ = (
        "_error",
        "_kept",
        "_room",
        "_wake",
        "complete",
        "ended",
        "failed",
        "length",
        "size",
        "terminal",
        "written",
    )

    def __init__(self, length: int | None, size_error: str) -> None:
        """`length` is what a Content-Length header promised, `size_error` the code for any other length."""
        self._wake = _nobody
        self._kept: list[bytes] = []
        self._room: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self.length = length
        self.failed = size_error
        self.size = 0
        """Bytes kept."""
        self.written = 0
        """Bytes written so far."""
        self.complete = False
        """Whether the body was finished, as promised."""
        self.ended = False
        """Whether nothing more will be written, finished or not."""
        self.terminal = False

    def on_wake(self, wake: Callable[[], None]) -> None:
        """Have `wake` called when something should be sent on; it may be at once.

        That is when the window is full, the guest asked for it, or the body is complete.
        """
        self._wake = wake
        if self.size or self.ended:
            wake()

    def write(self, data: bytes) -> Awaitable[None] | None:
        """Keep data. Raises StreamFailure for more than was promised, and what sending raised."""
        self.written += len(data)
        if self._error is not None:
            raise self._error
        if self.ended:
            raise StreamFailure("the body is not sent any more", "connection-terminated")
        if self.length is not None and self.written > self.length:
            raise self.wrong_size()
        if data:
            self._kept.append(data)
            self.size += len(data)
        if self.size < WINDOW:
            return None
        self._wake()
        return self._wait_for_room()

    def flush(self) -> None:
        """What was written should be on its way before the guest goes on."""
        self._wake()

    def close(self) -> None:
        """The stream is dropped; only `finish` ends the body."""

    def take(self) -> bytes:
        """Everything that is kept."""
        kept = self._kept
        data = kept[0] if len(kept) == 1 else b"".join(kept)
        self._kept, self.size = [], 0
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        return data

    def finish(self) -> bool:
        """The body ends here; False if it is shorter than promised."""
        self.ended = True
        self.complete = self.length is None or self.written == self.length
        self._wake()
        return self.complete

    def abandon(self, error: Exception | None = None) -> None:
        """Nothing more is sent, because of `error` if there was one; whoever waits for room hears of it."""
        self.ended = True
        self._error = error
        self.take()

    def wrong_size(self) -> StreamFailure:
        """The failure of a body that is not as long as promised."""
        return StreamFailure(
            f"the body has not the {self.length} bytes of its content-length", (self.failed, self.written)
        )

    async def _wait_for_room(self) -> None:
        while self.size >= WINDOW and not self.ended:
            if self._room is None or self._room.done():
                self._room = asyncio.get_running_loop().create_future()
            await self._room
        if self._error is not None:
            raise self._error


def _nobody() -> None:
    """Nobody takes the body yet."""
