"""Unary gRPC on HTTP/2: the server's end of one connection (RFC 9113; gRPC over HTTP/2).

Header compression is hpack's. A client is held to the protocol: what breaks it, or costs more than calls do
(floods of frames that ask for nothing, endless headers, calls begun to be reset), ends its connection.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import hpack

from wasmind.httpd import frames
from wasmind.httpd.frames import MAX_FRAME, MAX_WINDOW
from wasmind.httpd.grpc_call import RESOURCE_EXHAUSTED, Call, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.httpd.grpc_server import GrpcServer

STREAM_WINDOW = 1 << 20
"""Bytes that a client may send of one call before it is told to go on."""
CONNECTION_WINDOW = 16 << 20
MAX_HEADERS = 32 << 10
"""Bytes of a call's headers, packed or not."""
MAX_CONTROL = 20_000
"""Frames without a call's data that a client may send in a second."""
MAX_RESETS = 1_000
"""Calls that a client may give up in a second."""
WRITE_WINDOW = 256 << 10
"""Bytes kept for a slow client before no more is written."""


class Broken(Exception):
    """The client broke the protocol: its connection ends with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Connection(asyncio.Protocol):
    """One client. Everything happens in the event loop's thread."""

    def __init__(self, server: GrpcServer) -> None:
        self.server = server
        self.calls: dict[int, Call] = {}
        self.closing = False
        self.since = server.loop.time()
        """When it connected, or its last call ended."""
        self.greeted = False
        self._kept = bytearray()
        self._decoder = hpack.Decoder(MAX_HEADERS)
        self._known: dict[bytes, dict[bytes, bytes]] = {}
        self._last = 0
        self._block: tuple[int, int, bytearray] | None = None
        self._window = 65_535
        self._initial = 65_535
        self._unseen = 0
        self._paused = False
        self._control = self._resets = 0

    # --- the transport -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(WRITE_WINDOW)
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

    def pause_writing(self) -> None:
        """The client is slow."""
        self._paused = True

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._paused = False
        self._send_more()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._transport.is_closing():
            return
        try:
            self._read(data)
        except Broken as broken:
            self._write(frames.goaway(self._last, broken.code))
            self._transport.close()

    def _read(self, data: bytes) -> None:
        kept = self._kept
        kept += data
        at = 0
        if not self.greeted:
            if not frames.PREFACE.startswith(bytes(kept[: len(frames.PREFACE)])):
                raise Broken(frames.PROTOCOL_ERROR)
            if len(kept) < len(frames.PREFACE):
                return
            self.greeted, at = True, len(frames.PREFACE)
        end = len(kept)
        while end - at >= 9:
            length = int.from_bytes(kept[at : at + 3], "big")
            if length > MAX_FRAME:
                raise Broken(frames.FRAME_SIZE_ERROR)
            if end - at < 9 + length:
                break
            kind, flags = kept[at + 3], kept[at + 4]
            stream = int.from_bytes(kept[at + 5 : at + 9], "big") & MAX_WINDOW
            payload = bytes(kept[at + 9 : at + 9 + length])
            at += 9 + length
            if self._block is not None and kind != frames.CONTINUATION:
                raise Broken(frames.PROTOCOL_ERROR)
            handle = self._HANDLERS.get(kind)
            if handle is not None:
                handle(self, flags, stream, payload)
            elif kind == frames.PUSH_PROMISE:
                raise Broken(frames.PROTOCOL_ERROR)
            else:
                self._count()
        del kept[:at]

    # --- frames --------------------------------------------------------------------------------------------

    def _headers(self, flags: int, stream: int, payload: bytes) -> None:
        if stream % 2 == 0 or stream <= self._last:
            raise Broken(frames.STREAM_CLOSED if stream in self.calls else frames.PROTOCOL_ERROR)
        block = _unpadded(flags, payload)
        if flags & frames.HAS_PRIORITY:
            if len(block) < 5:
                raise Broken(frames.FRAME_SIZE_ERROR)
            block = block[5:]
        self._last = stream
        if flags & frames.END_HEADERS:
            self._begin(stream, flags, block)
        else:
            self._block = (stream, flags, bytearray(block))

    def _continuation(self, flags: int, stream: int, payload: bytes) -> None:
        if self._block is None or self._block[0] != stream:
            raise Broken(frames.PROTOCOL_ERROR)
        self._count()
        _, first, block = self._block
        block += payload
        if len(block) > MAX_HEADERS:
            raise Broken(frames.ENHANCE_YOUR_CALM)
        if flags & frames.END_HEADERS:
            self._block = None
            self._begin(stream, first, bytes(block))

    def _begin(self, stream: int, flags: int, block: bytes) -> None:
        headers = self._unpacked(block)
        if len(self.calls) >= self.server.streams or self.closing:
            self._resets += 1
            self._write(frames.reset(stream, frames.REFUSED_STREAM))
            return
        kind = headers.get(b"content-type", b"")
        if headers.get(b":method") != b"POST" or not kind.startswith(b"application/grpc"):
            self._write(frames.frame(frames.HEADERS, 5, stream, frames.http_status(415)))
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

    def _unpacked(self, block: bytes) -> dict[bytes, bytes]:
        """The headers of a block. One of indices alone means the same until another kind of block came."""
        plain = bool(block) and min(block) >= 0x80
        if plain and (known := self._known.get(block)) is not None:
            return known
        try:
            headers = dict(self._decoder.decode(block, raw=True))
        except hpack.HPACKError as error:
            raise Broken(frames.COMPRESSION_ERROR) from error
        if not plain:
            self._known.clear()
        elif len(self._known) < 64:
            self._known[block] = headers
        return headers

    def _data(self, flags: int, stream: int, payload: bytes) -> None:
        size = len(payload)
        self._unseen += size
        if self._unseen > CONNECTION_WINDOW:
            raise Broken(frames.FLOW_CONTROL_ERROR)
        if self._unseen > CONNECTION_WINDOW // 4:
            self._write(frames.window_update(0, self._unseen))
            self._unseen = 0
        call = self.calls.get(stream)
        if call is None or call.ended:
            if stream == 0 or stream > self._last:
                raise Broken(frames.PROTOCOL_ERROR)
            self._count()  # it was refused or reset, and this was on its way
            return
        if not size:
            self._count()
        call.data += _unpadded(flags, payload)
        call.unseen += size
        call.moved = self.server.loop.time()
        if call.unseen > STREAM_WINDOW:
            raise Broken(frames.FLOW_CONTROL_ERROR)
        if len(call.data) > self.server.most + 5:
            self.refuse(call, Refused(RESOURCE_EXHAUSTED, f"a message may have {self.server.most} bytes"))
        elif flags & frames.END_STREAM:
            self._complete(call)
        elif call.unseen > STREAM_WINDOW // 2:
            self._write(frames.window_update(stream, call.unseen))
            call.unseen = 0

    def _complete(self, call: Call) -> None:
        call.ended = True
        call.task = self.server.loop.create_task(self.server.serve(call))

    def _reset(self, _flags: int, stream: int, payload: bytes) -> None:
        if len(payload) != 4 or stream == 0 or stream > self._last:
            raise Broken(frames.PROTOCOL_ERROR)
        self._resets += 1
        if self._resets > MAX_RESETS:
            raise Broken(frames.ENHANCE_YOUR_CALM)
        call = self.calls.get(stream)
        if call is not None:
            self._drop(call)

    def _settings(self, flags: int, stream: int, payload: bytes) -> None:
        if stream or len(payload) % 6 or (flags & frames.ACK and payload):
            raise Broken(frames.FRAME_SIZE_ERROR)
        self._count()
        if flags & frames.ACK:
            return
        for at in range(0, len(payload), 6):
            number, value = (
                int.from_bytes(payload[at : at + 2], "big"),
                int.from_bytes(payload[at + 2 : at + 6], "big"),
            )
            if number == frames.WINDOW_SETTING:
                if value > MAX_WINDOW:
                    raise Broken(frames.FLOW_CONTROL_ERROR)
                for call in self.calls.values():
                    call.room += value - self._initial
                self._initial = value
        self._write(frames.frame(frames.SETTINGS, frames.ACK, 0))
        self._send_more()

    def _ping(self, flags: int, stream: int, payload: bytes) -> None:
        if stream or len(payload) != 8:
            raise Broken(frames.FRAME_SIZE_ERROR)
        self._count()
        if not flags & frames.ACK:
            self._write(frames.frame(frames.PING, frames.ACK, 0, payload))

    def _window_update(self, _flags: int, stream: int, payload: bytes) -> None:
        more = int.from_bytes(payload, "big") & MAX_WINDOW
        if len(payload) != 4 or stream > self._last:
            raise Broken(frames.PROTOCOL_ERROR)
        self._count()
        call = self.calls.get(stream)
        if stream == 0:
            self._window += more
        elif call is not None:
            call.room += more
        if not more or self._window > MAX_WINDOW or (call is not None and call.room > MAX_WINDOW):
            raise Broken(frames.FLOW_CONTROL_ERROR)
        self._send_more()

    def _ignored(self, _flags: int, _stream: int, _payload: bytes) -> None:
        self._count()

    def _count(self) -> None:
        """A frame came that brings no call on."""
        self._control += 1
        if self._control > MAX_CONTROL:
            raise Broken(frames.ENHANCE_YOUR_CALM)

    _HANDLERS: dict[int, Callable[[Connection, int, int, bytes], None]] = {
        frames.DATA: _data,
        frames.HEADERS: _headers,
        frames.PRIORITY: _ignored,
        frames.RST_STREAM: _reset,
        frames.SETTINGS: _settings,
        frames.PING: _ping,
        frames.GOAWAY: _ignored,
        frames.WINDOW_UPDATE: _window_update,
        frames.CONTINUATION: _continuation,
    }

    # --- answers -------------------------------------------------------------------------------------------

    def answer(self, call: Call, message: bytes) -> None:
        """Send a call's message, as its client takes it, and that it succeeded."""
        stream, size = call.stream, len(message) + 5
        head = frames.frame(frames.HEADERS, frames.END_HEADERS, stream, frames.ANSWER_HEAD)
        body = b"\0" + len(message).to_bytes(4, "big") + message
        tail = frames.frame(frames.HEADERS, 5, stream, frames.SUCCESS)
        if size <= MAX_FRAME and size <= self._window and size <= call.room and not self._paused:
            self._window -= size
            self._end(call, b"".join((head, frames.frame(frames.DATA, 0, stream, body), tail)))
            return
        call.left, call.tail = memoryview(body), tail
        self._write(head)
        self._send_more()

    def refuse(self, call: Call, refused: Refused) -> None:
        """Tell a call's client why it has no answer."""
        block = frames.ANSWER_HEAD + frames.trailers(refused.code, refused.words)
        self._end(call, frames.frame(frames.HEADERS, 5, call.stream, block))

    def _end(self, call: Call, last: bytes) -> None:
        """Send a call's last frames; a client that still sends is told to stop."""
        if self.calls.pop(call.stream, None) is None:
            return
        self._write(last if call.ended else last + frames.reset(call.stream, frames.NO_ERROR))
        self.server.app.end(call)
        self._rest()

    def _drop(self, call: Call) -> None:
        """Nobody waits for a call any more."""
        self.calls.pop(call.stream, None)
        if call.task is not None:
            call.task.cancel()
        self.server.app.end(call)
        self._rest()

    def _rest(self) -> None:
        self.since = self.server.loop.time()
        if self.closing and not self.calls:
            self._transport.close()

    def _send_more(self) -> None:
        """Send what windows allow of answers that are waiting."""
        for call in [call for call in self.calls.values() if call.tail]:
            while call.left and not self._paused:
                size = min(len(call.left), MAX_FRAME, self._window, call.room)
                if size <= 0:
                    break
                self._write(frames.frame(frames.DATA, 0, call.stream, bytes(call.left[:size])))
                call.left = call.left[size:]
                call.room -= size
                self._window -= size
                call.moved = self.server.loop.time()
            if not call.left:
                self._end(call, call.tail)

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    # --- what the server asks for --------------------------------------------------------------------------

    def turn(self, now: float, head_s: float, stall_s: float, idle_s: float) -> None:
        """Called each second: forget what was counted, end what makes no progress."""
        self._control = self._resets = 0
        if self.calls:
            waiting = [call for call in self.calls.values() if not call.ended or call.tail]
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
            self._transport.close()

    def abort(self) -> None:
        """Close now, whatever is under way."""
        self._transport.abort()


def _unpadded(flags: int, payload: bytes) -> bytes:
    if not flags & frames.PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise Broken(frames.PROTOCOL_ERROR)
    return payload[1 : len(payload) - payload[0]]
