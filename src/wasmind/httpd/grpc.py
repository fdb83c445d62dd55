"""Unary gRPC on HTTP/2: the server's end of one connection (RFC 9113; gRPC over HTTP/2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmind.httpd import frames
from wasmind.httpd.frames import MAX_FRAME
from wasmind.httpd.grpc_call import RESOURCE_EXHAUSTED, Call, Refused
from wasmind.httpd.http2 import CONNECTION_WINDOW, MAX_HEADERS, STREAM_WINDOW, Broken, End, unpadded
from wasmind.httpd.outgoing import Outgoing

if TYPE_CHECKING:
    import asyncio

    from wasmind.httpd.grpc_server import GrpcServer

MAX_RESETS = 1_000
"""Calls that a client may give up in a second."""


class Connection(End[Call]):
    """One client. Besides the protocol it is held to not beginning calls only to reset them."""

    def __init__(self, server: GrpcServer) -> None:
        super().__init__(server.loop, table=True)
        self.server = server
        self.closing = False
        self.since = server.loop.time()
        """When it connected, or its last call ended."""
        self.greeted = False
        self._resets = 0

    # --- the transport -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        super().connection_made(transport)
        values = {
            frames.MAX_STREAMS_SETTING: self.server.streams,
            frames.WINDOW_SETTING: STREAM_WINDOW,
            frames.HEADERS_SETTING: MAX_HEADERS,
        }
        self._write(frames.settings(values) + frames.window_update(0, CONNECTION_WINDOW - 65_535))
        self.server.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        for call in list(self.calls.values()):
            self._drop(call)
        self.server.closed(self)

    def _read(self, data: bytes) -> None:
        if not self.greeted:
            data, self._kept = self._kept + data, b""
            if not frames.PREFACE.startswith(data[: len(frames.PREFACE)]):
                raise Broken(frames.PROTOCOL_ERROR, "this is no HTTP/2")
            if len(data) < len(frames.PREFACE):
                self._kept = data
                return
            self.greeted, data = True, data[len(frames.PREFACE) :]
        super()._read(data)

    @property
    def _last_of_peer(self) -> int:
        return self._last

    # --- calls ---------------------------------------------------------------------------------------------

    def _opens(self, stream: int) -> None:
        if stream % 2 == 0 or stream <= self._last:
            known = stream in self.calls
            code = frames.STREAM_CLOSED if known else frames.PROTOCOL_ERROR
            raise Broken(code, f"stream {stream} cannot be begun")
        self._last = stream

    def _came(self, stream: int, flags: int, block: bytes) -> None:
        headers = self._blocks.unpack(block)
        if len(self.calls) >= self.server.streams or self.closing:
            self._resets += 1
            self._write(frames.reset(stream, frames.REFUSED_STREAM))
            return
        kind = headers.get(b"content-type", b"")
        if headers.get(b":method") != b"POST" or not kind.startswith(b"application/grpc"):
            block = self._block_of(frames.http_status(415))
            self._write(frames.frame(frames.HEADERS, 5, stream, block))
            self._write(frames.reset(stream, frames.NO_ERROR))
            return
        call = Call(self, stream, headers, self._initial)
        self.calls[stream] = call
        try:
            self.server.app.begin(call)
        except Refused as refused:
            self.refuse(call, refused)
            return
        if flags & frames.END_STREAM:
            self._complete(call)

    def _data(self, flags: int, stream: int, payload: bytes) -> None:
        size = len(payload)
        self._taken(size)
        call = self.calls.get(stream)
        if call is None or call.ended:
            if stream == 0 or stream > self._last:
                raise Broken(frames.PROTOCOL_ERROR, f"data of stream {stream}, which was not begun")
            self._count()  # it was refused or reset, and this was on its way
            return
        if not size:
            self._count()
        call.data += unpadded(flags, payload)
        call.moved = self.server.loop.time()
        if len(call.data) > self.server.most + 5:
            self.refuse(call, Refused(RESOURCE_EXHAUSTED, f"a message may have {self.server.most} bytes"))
        elif flags & frames.END_STREAM:
            self._complete(call)
        else:
            self._taken_of(call, size)

    def _complete(self, call: Call) -> None:
        call.ended = True
        call.task = self.server.loop.create_task(self.server.serve(call))

    def _reset(self, _flags: int, stream: int, payload: bytes) -> None:
        if len(payload) != 4 or stream == 0 or stream > self._last:
            raise Broken(frames.PROTOCOL_ERROR, f"stream {stream} is reset, which was not begun")
        self._resets += 1
        if self._resets > MAX_RESETS:
            raise Broken(frames.ENHANCE_YOUR_CALM, "calls are begun only to be reset")
        call = self.calls.get(stream)
        if call is not None:
            self._drop(call)

    # --- answers -------------------------------------------------------------------------------------------

    def answer(self, call: Call, message: bytes) -> None:
        """Send a call's message, as its client takes it, and that it succeeded."""
        stream, size = call.stream, len(message) + 5
        if stream not in self.calls:
            return
        block = self._block_of(frames.ANSWER_HEAD)
        head = frames.frame(frames.HEADERS, frames.END_HEADERS, stream, block)
        body = b"\0" + len(message).to_bytes(4, "big") + message
        tail = frames.frame(frames.HEADERS, 5, stream, frames.SUCCESS)
        if size <= MAX_FRAME and size <= self._window and size <= call.room and not self._paused:
            self._window -= size
            self._end(call, b"".join((head, frames.frame(frames.DATA, 0, stream, body), tail)))
            return
        self._write(head)
        self._later(call, Outgoing((body,), tail))

    def refuse(self, call: Call, refused: Refused) -> None:
        """Tell a call's client why it has no answer."""
        if call.stream not in self.calls:
            return
        block = self._block_of(frames.ANSWER_HEAD) + frames.trailers(refused.code, refused.words)
        self._end(call, frames.frame(frames.HEADERS, 5, call.stream, block))

    def _moved(self, call: Call) -> None:
        call.moved = self.server.loop.time()
        if call.out is None:
            self._end(call, b"")

    def _end(self, call: Call, last: bytes) -> None:
        """Send a call's last frames; a client that still sends is told to stop."""
        if not self._forget(call):
            return
        self._write(last if call.ended else last + frames.reset(call.stream, frames.NO_ERROR))
        self.server.app.end(call)
        self._rest()

    def _drop(self, call: Call) -> None:
        """Nobody waits for a call any more."""
        self._forget(call)
        if call.task is not None:
            call.task.cancel()
        self.server.app.end(call)
        self._rest()

    def _rest(self) -> None:
        self.since = self.server.loop.time()
        if self.closing and not self.calls:
            self._close()

    # --- what the server asks for --------------------------------------------------------------------------

    def turn(self, now: float, head_s: float, stall_s: float, idle_s: float) -> None:
        """Called each second: forget what was counted, end what makes no progress."""
        self._resets = 0
        if self.calls:
            waiting = [call for call in self.calls.values() if not call.ended or call.out is not None]
            if any(now - call.moved > stall_s for call in waiting):
                self.abort()
        elif now - self.since > (idle_s if self.greeted and self._last else head_s):
            self.close()

    def close(self) -> None:
        """Accept no more calls; close after the last one."""
        if not self.closing:
            self.closing = True
            self._write(frames.goaway(self._last, frames.NO_ERROR))
        if not self.calls:
            self._close()

    def abort(self) -> None:
        """Close now, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()
