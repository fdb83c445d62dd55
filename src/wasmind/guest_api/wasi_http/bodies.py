"""`wasi:http` bodies: contents as streams, then trailers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from wasmind.component.abi.values import Err, Ok
from wasmind.errors import GuestTrap
from wasmind.guest_api.stdio import Source
from wasmind.guest_api.wasi.p2.streams import InputStream, OutputStream
from wasmind.guest_api.wasi_http.fields import Fields
from wasmind.guest_api.wasi_http.pipe import BodyPipe

ErrorCode: TypeAlias = str | tuple[str, object]
"""A case of `wasi:http/types` error-code."""

TAKEN: Err[None] = Err(None)
"""The answer of a function that gives something at the first call only."""


class IncomingBody:
    """The body of a message that comes in."""

    __slots__ = ("_source", "_stream")

    def __init__(self, source: Source) -> None:
        self._source = source
        self._stream: InputStream | None = None

    def stream(self) -> InputStream | Err[None]:
        """Its contents; once."""
        if self._stream is not None:
            return TAKEN
        self._stream = InputStream(self._source)
        return self._stream

    def finish(self) -> FutureTrailers:
        """Go on to the trailers. Raises GuestTrap while the stream is alive."""
        self.drop()
        return FutureTrailers()

    def drop(self) -> None:
        """Give the body up. Raises GuestTrap while the stream is alive."""
        if self._stream is not None and not self._stream.dropped:
            raise GuestTrap("an incoming-body was dropped or finished while its input-stream was alive")


class FutureTrailers:
    """The trailers of a message that came in: none, since server and client here pass none on."""

    __slots__ = ("_given",)

    def __init__(self) -> None:
        self._given = False

    def get(self) -> Ok[Ok[None]] | Err[None]:
        """Nothing, once."""
        if self._given:
            return TAKEN
        self._given = True
        return Ok(Ok(None))


class OutgoingBody:
    """The body of a message that goes out. `finished` is called with its trailers at the end."""

    __slots__ = ("_finished", "_pipe", "_stream")

    def __init__(self, pipe: BodyPipe, finished: Callable[[Fields | None], None] | None = None) -> None:
        self._pipe = pipe
        self._finished = finished
        self._stream: OutputStream | None = None

    def write(self) -> OutputStream | Err[None]:
        """The stream to write its contents to; once."""
        if self._stream is not None:
            return TAKEN
        self._stream = OutputStream(self._pipe)
        return self._stream

    def finish(self, trailers: Fields | None) -> Err[ErrorCode] | None:
        """The body is complete. Raises GuestTrap while the stream is alive."""
        self._check_stream()
        if self._finished is not None:
            self._finished(trailers)
        if self._pipe.finish():
            return None
        return Err((self._pipe.failed, self._pipe.written))

    def drop(self) -> None:
        """The body stays incomplete. Raises GuestTrap while the stream is alive."""
        self._check_stream()
        self._pipe.abandon()

    def _check_stream(self) -> None:
        if self._stream is not None and not self._stream.dropped:
            raise GuestTrap("an outgoing-body was dropped or finished while its output-stream was alive")
