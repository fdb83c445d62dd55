"""One HTTP/2 connection to a server: many exchanges at once, each of them a stream.

A server is held to the protocol as any peer is. Its headers are packed without a table, so a block that came
once needs no unpacking when it comes again.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from wasmind.backends.oip.exchange import (
    WORDS,
    Answer,
    BrokenOff,
    StreamReset,
    TooMuch,
    Unreachable,
    Untouched,
)
from wasmind.httpd import frames
from wasmind.httpd.http2 import CONNECTION_WINDOW, MAX_HEADERS, STREAM_WINDOW, Broken, End, Stream, unpadded
from wasmind.httpd.outgoing import Outgoing
from wasmind.nn.tensor import Buffer

SILENT = 2
"""So many requests in a row given up with nothing heard since, and the connection is left: it may be dead.

Pings would tell, but servers close connections on which they come more often than every five minutes.
"""
LAST_STREAM = frames.MAX_WINDOW - 2
_STATUS = re.compile(rb"[1-9][0-9]{2}\Z")
_GREETING = (
    frames.PREFACE
    + frames.settings(
        {
            frames.TABLE_SETTING: 0,
            frames.PUSH_SETTING: 0,
            frames.WINDOW_SETTING: STREAM_WINDOW,
            frames.HEADERS_SETTING: MAX_HEADERS,
        }
    )
    + frames.window_update(0, CONNECTION_WINDOW - 65_535)
)


class Call(Stream):
    """A request that waits for its answer."""

    __slots__ = ("answer", "heard", "most", "waiter")

    def __init__(self, stream: int, room: int, waiter: asyncio.Future[Answer], most: int, heard: int) -> None:
        super().__init__(stream, room)
        self.waiter = waiter
        self.answer: Answer | None = None
        """What came of it, once its headers have."""
        self.most = most
        """Bytes that its body may have."""
        self.heard = heard
        """How often the server had been heard of when it was sent."""


class Connection(End[Call]):
    """Requests out, answers in, as long as it is `free`."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(loop, table=False)
        self.ready: asyncio.Future[None] = loop.create_future()
        """Done when the server has said what it takes; it may fail with Unreachable."""
        self.most = frames.MAX_WINDOW
        """Requests at once that the server takes."""
        self.leaving = False
        """Whether it closes after the last answer."""
        self.idle_since = 0.0
        """Loop time at which it had nothing under way any more."""
        self._heard = self._silent = 0
        self._why = ""

    @property
    def free(self) -> bool:
        """Whether another request may be sent."""
        return not self.leaving and len(self.calls) < self.most

    async def exchange(self, block: bytes, body: Sequence[Buffer], most: int) -> Answer:
        """Send a request with these packed headers and wait for its answer, of at most `most` bytes.

        When this is cancelled the stream is reset: so a server hears that nobody waits any more.
        Raises Untouched, BrokenOff, TooMuch.
        """
        if not self.free:
            raise Untouched("the connection takes no more requests")
        call = self._ask(block, body, most)
        try:
            return await call.waiter
        finally:
            if call.stream in self.calls:
                self._give_up(call)

    def leave(self) -> None:
        """Send nothing more over it; close it after the last answer."""
        self.leaving = True
        self._rest()

    # --- asyncio.Protocol -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        super().connection_made(transport)
        self._write(_GREETING)

    def eof_received(self) -> None:
        """The server sends no more; the transport closes itself."""
        self.leaving = True

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._transport = None
        self._over(self._why or (str(exc) if exc else "the server closed the connection"))

    def _read(self, data: bytes) -> None:
        self._heard += 1
        self._silent = 0
        if not self.ready.done():
            begun = (self._kept + data)[:5]
            if begun[:4] == b"HTTP":
                raise Broken(frames.PROTOCOL_ERROR, "it speaks HTTP/1.1 here, not HTTP/2")
            if len(begun) > 3 and begun[3] != frames.SETTINGS:
                raise Broken(frames.PROTOCOL_ERROR, "it does not speak HTTP/2 here")
        super()._read(data)

    # --- requests -------------------------------------------------------------------------------------------

    def _ask(self, block: bytes, body: Sequence[Buffer], most: int) -> Call:
        self._last = stream = self._last + 2 if self._last else 1
        if stream >= LAST_STREAM:
            self.leaving = True
        call = Call(stream, self._initial, self._loop.create_future(), most, self._heard)
        self.calls[stream] = call
        size = sum(map(len, body))
        head = self._head(stream, self._block_of(block), 0 if size else frames.END_STREAM)
        if not size:
            self._write(head)
        elif size <= min(self._frame, self._window, call.room) and not self._paused:
            self._window -= size
            call.room -= size
            data = frames.head(size, frames.DATA, frames.END_STREAM, stream)
            self._write(b"".join((head, data, *body)))
        else:
            self._write(head)
            self._later(call, Outgoing(body, frames.frame(frames.DATA, frames.END_STREAM, stream)))
        return call

    def _head(self, stream: int, block: bytes, end: int) -> bytes:
        """A header block in as many frames as it takes."""
        most = self._frame
        if len(block) <= most:
            return frames.frame(frames.HEADERS, frames.END_HEADERS | end, stream, block)
        parts = [block[at : at + most] for at in range(0, len(block), most)]
        kinds = [(frames.HEADERS, end)] + [(frames.CONTINUATION, 0)] * (len(parts) - 1)
        kinds[-1] = (frames.CONTINUATION, frames.END_HEADERS)
        return b"".join(
            frames.frame(kind, flags, stream, part) for (kind, flags), part in zip(kinds, parts, strict=True)
        )

    def _give_up(self, call: Call) -> None:
        """Nobody waits for an answer any more."""
        self._forget(call)
        self._write(frames.reset(call.stream, frames.CANCEL))
        if call.heard == self._heard:
            self._silent += 1
            self.leaving = self.leaving or self._silent >= SILENT
        self._rest()

    # --- answers --------------------------------------------------------------------------------------------

    def _opens(self, stream: int) -> None:
        self._must_be_ours(stream)

    def _must_be_ours(self, stream: int) -> None:
        if stream % 2 == 0 or stream > self._last:
            raise Broken(frames.PROTOCOL_ERROR, f"something comes for stream {stream}, which was not begun")

    def _came(self, stream: int, flags: int, block: bytes) -> None:
        call = self.calls.get(stream)
        if call is None:  # it was given up, and this was on its way
            self._count()
            return
        headers, ends = self._blocks.unpack(block), flags & frames.END_STREAM
        if call.answer is not None:
            if not ends:
                self._fail(call, BrokenOff("headers came within the answer"), frames.PROTOCOL_ERROR)
                return
            call.answer.trailers = headers
            self._finish(call, call.answer)
            return
        status = headers.get(b":status", b"")
        if not _STATUS.match(status) or (ends and status < b"200"):
            self._fail(call, BrokenOff("the answer has no status"), frames.PROTOCOL_ERROR)
        elif status < b"200":
            self._count()
        else:
            self._begun(call, int(status), headers, ends)

    def _begun(self, call: Call, status: int, headers: dict[bytes, bytes], ends: int) -> None:
        answer = call.answer = Answer()
        answer.status, answer.headers = status, headers
        if status != 200:
            call.most = min(call.most, WORDS)
        if ends:
            answer.trailers = headers
            self._finish(call, answer)

    def _data(self, flags: int, stream: int, payload: bytes) -> None:
        size = len(payload)
        self._taken(size)
        call = self.calls.get(stream)
        if call is None:
            self._must_be_ours(stream)
            self._count()
            return
        answer = call.answer
        if answer is None:
            self._fail(call, BrokenOff("data came before the answer's headers"), frames.PROTOCOL_ERROR)
            return
        if not size:
            self._count()
        self._add(answer, unpadded(flags, payload))
        if len(answer.body) > call.most:
            self._exceeded(call, answer)
        elif flags & frames.END_STREAM:
            self._finish(call, answer)
        else:
            self._taken_of(call, size)

    @staticmethod
    def _add(answer: Answer, data: bytes) -> None:
        """A small body stays the bytes that came; more are put together in place."""
        body = answer.body
        if not body:
            answer.body = data
        elif isinstance(body, bytearray):
            body += data
        else:
            answer.body = bytearray(body) + data

    def _exceeded(self, call: Call, answer: Answer) -> None:
        """More came than was allowed. Of a refusal the first words are enough."""
        if answer.status == 200:
            self._fail(call, TooMuch(), frames.CANCEL)
            return
        answer.body, answer.headers = answer.body[: call.most], {}
        self._write(frames.reset(call.stream, frames.CANCEL))
        call.out = None
        self._finish(call, answer)

    def _finish(self, call: Call, answer: Answer) -> None:
        """The answer is whole."""
        told = answer.headers.get(b"content-length")
        if told is not None and told != b"%d" % len(answer.body):
            self._fail(call, BrokenOff("the answer is not as long as it says"), frames.PROTOCOL_ERROR)
            return
        if call.out is not None:
            self._write(frames.reset(call.stream, frames.CANCEL))  # the server needs no more of the request
        self._forget(call)
        if not call.waiter.done():
            call.waiter.set_result(answer)
        self._rest()

    def _fail(self, call: Call, error: Exception, code: int | None = None) -> None:
        """There will be no answer. With a code the server is told so."""
        if code is not None:
            self._write(frames.reset(call.stream, code))
        self._settle(call, error)
        self._rest()

    def _settle(self, call: Call, error: Exception) -> None:
        self._forget(call)
        if not call.waiter.done():
            call.waiter.set_exception(error)

    def _rest(self) -> None:
        """Nothing may be under way any more."""
        if self.calls:
            return
        self.idle_since = self._loop.time()
        if self.leaving:
            self._write(frames.goaway(0, frames.NO_ERROR))
            self._close()

    # --- what the server says of streams and the connection -------------------------------------------------

    def _setting(self, number: int, value: int) -> None:
        if number == frames.MAX_STREAMS_SETTING:
            self.most = value

    def _settings(self, flags: int, stream: int, payload: bytes) -> None:
        super()._settings(flags, stream, payload)
        if not self.ready.done():
            self.ready.set_result(None)

    def _reset(self, _flags: int, stream: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Broken(frames.FRAME_SIZE_ERROR, "a reset has a wrong size")
        self._must_be_ours(stream)
        call = self.calls.get(stream)
        if call is None:
            self._count()
            return
        code = int.from_bytes(payload, "big")
        if code == frames.REFUSED_STREAM:
            self._fail(call, Untouched("the server refused to begin the request"))
        else:
            words = f"the server gave the request up: {frames.error_name(code)}"
            self._fail(call, StreamReset(code, words))

    def _goaway(self, _flags: int, stream: int, payload: bytes) -> None:
        if stream or len(payload) < 8:
            raise Broken(frames.FRAME_SIZE_ERROR, "a goodbye has a wrong size")
        self._count()
        last, code = int.from_bytes(payload[:4], "big"), int.from_bytes(payload[4:8], "big")
        self.leaving = True
        if code != frames.NO_ERROR:
            said = payload[8:208].decode("utf-8", "replace")
            self._why = f"the server closed the connection: {frames.error_name(code)} {said}".rstrip()
        for call in [call for call in self.calls.values() if call.stream > last & frames.MAX_WINDOW]:
            self._fail(call, Untouched(self._why or "the server closes the connection"))
        self._rest()

    def _ended(self, broken: Broken) -> None:
        self._over(f"the server broke HTTP/2 ({frames.error_name(broken.code)}): {broken}")

    def _over(self, why: str) -> None:
        """No answer comes any more."""
        self.leaving = True
        if not self.ready.done():
            self.ready.set_exception(Unreachable(why))
        for call in list(self.calls.values()):
            self._settle(call, BrokenOff(why))
