"""`wasi:http` bodies: contents as streams, then trailers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from wasmind.component.abi.values import Err, Ok
from wasmind.errors import GuestTrap
from wasmind.guest_api.stdio import Source
from wasmind.guest_api.wasi.p2.pollable import Pollable
from wasmind.guest_api.wasi.p2.streams import CHUNK, InputStream, OutputStream
from wasmind.guest_api.wasi_http.fields import Fields
from wasmind.guest_api.wasi_http.pipe import BodyPipe

ErrorCode: TypeAlias = str | tuple[str, object]
"""A case of `wasi:http/types` error-code."""

Trailers: TypeAlias = Callable[[], Sequence[tuple[bytes, bytes]]]
"""Gives the trailers of a message whose body has come, names in lower case."""

TAKEN: Err[None] = Err(None)
"""The answer of a function that gives something at the first call only."""


class IncomingBody:
    """The body of a message that comes in."""

    __slots__ = ("_source", "_stream", "_trailers")

    def __init__(self, source: Source, trailers: Trailers = tuple) -> None:
        """`trailers` gives what came after the body, once all of it has come."""
        self._source = source
        self._trailers = trailers
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
        return FutureTrailers(self._source, self._trailers)

    def drop(self) -> None:
        """Give the body up. Raises GuestTrap while the stream is alive."""
        if self._stream is not None and not self._stream.dropped:
            raise GuestTrap("an incoming-body was dropped or finished while its input-stream was alive")


class FutureTrailers(Pollable):
    """The trailers of a message that comes in, ready when its body has come; what nobody read is dropped."""

    __slots__ = ("_ended", "_error", "_given", "_source", "_trailers")

    def __init__(self, source: Source, trailers: Trailers = tuple) -> None:
        self._source = source
        self._trailers = trailers
        self._ended = self._given = False
        self._error: OSError | None = None

    @property
    def ready(self) -> bool:
        """Whether the body has come, or broke off."""
        while not self._ended:
            data = self._source.take(CHUNK)
            if data is None:
                return False
            self._ended = not len(data)
        return True

    async def wait(self) -> None:
        """Wait until the body has come."""
        while not self.ready:
            try:
                await self._source.wait()
            except OSError as error:
                self._ended, self._error = True, error

    def get(self) -> Ok[Ok[Fields | None] | Err[ErrorCode]] | Err[None] | None:
        """None while the body comes; the trailers if there are any, or the error, once."""
        if not self.ready:
            return None
        if self._given:
            return TAKEN
        self._given = True
        if self._error is not None:
            return Ok(Err(_code(self._error)))
        found = self._trailers()
        return Ok(Ok(Fields.received(found) if found else None))


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


def _code(error: OSError) -> ErrorCode:
    """The error code for a body that broke off."""
    detail = getattr(error, "detail", None)
    return detail if isinstance(detail, (str, tuple)) else ("internal-error", str(error))
