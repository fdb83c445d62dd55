"""What both ends of an HTTP/2 connection do (RFC 9113): read frames, put headers together, keep to windows.

Header compression is hpack's. The peer is held to the protocol: what breaks it, or costs more than requests
do (floods of frames that ask for nothing, endless headers), ends its connection.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from struct import Struct
from typing import Any, Generic, NoReturn, TypeVar, cast

import hpack

from wasmind.httpd import frames
from wasmind.httpd.frames import MAX_FRAME, MAX_WINDOW
from wasmind.httpd.outgoing import Outgoing

STREAM_WINDOW = 1 << 20
"""Bytes that a peer may send of one message before it is told to go on."""
CONNECTION_WINDOW = 16 << 20
MAX_HEADERS = 32 << 10
"""Bytes of a message's headers, packed or not."""
MAX_CONTROL = 20_000
"""Frames that bring no message on which a peer may send in a second."""
WRITE_WINDOW = 256 << 10
"""Bytes kept for a slow peer before no more is written."""
TURN = 128 << 10
"""Bytes of a message that are sent before it is the next one's turn."""
MOST_KNOWN, LONGEST_KNOWN = 64, 1024
"""Header blocks that are remembered, and the bytes of the longest of them."""
LINGER_S = 5.0
"""How long a peer may take to read the last of what was written."""

_FRAME = Struct(">HBBBI").unpack_from
_SETTING = Struct(">HI").iter_unpack


class Broken(Exception):
    """The peer broke the protocol: its connection ends with this code."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code


class Stream:
    """A request and its answer, as far as windows know it."""

    __slots__ = ("out", "room", "stream", "unseen")

    def __init__(self, stream: int, room: int) -> None:
        self.stream = stream
        self.room = room
        """Bytes that the peer takes of it."""
        self.unseen = 0
        """Bytes of its data that the peer was not yet told to replace."""
        self.out: Outgoing | None = None
        """What could not be sent yet."""


S = TypeVar("S", bound=Stream)


class Blocks:
    """Unpacks header blocks, and remembers those that always mean the same."""

    def __init__(self, *, table: bool) -> None:
        """Without a `table`, which the peer is to be told of, every block says all by itself."""
        self._decoder = hpack.Decoder(MAX_HEADERS)
        if not table:
            self._decoder.header_table_size = self._decoder.max_allowed_table_size = 0
        self._table = table
        self._known: dict[bytes, dict[bytes, bytes]] = {}

    def unpack(self, block: bytes) -> dict[bytes, bytes]:
        """The headers of a block; of repeated ones the last. Raises Broken."""
        known = self._known.get(block)
        if known is not None:
            return known
        try:
            headers = dict(self._decoder.decode(block, raw=True))
        except hpack.HPACKError as error:
            raise Broken(frames.COMPRESSION_ERROR, f"headers cannot be unpacked: {error}") from error
        if self._table and min(block, default=0) < 0x80:
            self._known.clear()  # it may have changed the table, and what indices mean
        elif len(block) <= LONGEST_KNOWN:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[block] = headers
        return headers


class End(asyncio.Protocol, Generic[S], ABC):
    """One end of a connection. Everything happens in the event loop's thread."""

    _HANDLERS: tuple[Callable[[Any, int, int, bytes], None], ...] = ()

    def __init_subclass__(cls) -> None:
        cls._HANDLERS = (
            cls._data,
            cls._headers,
            cls._ignored,
            cls._reset,
            cls._settings,
            cls._unwanted,
            cls._ping,
            cls._goaway,
            cls._window_update,
            cls._continuation,
        )

    def __init__(self, loop: asyncio.AbstractEventLoop, *, table: bool) -> None:
        """`table`: whether the peer may refer to headers that it sent before."""
        self.calls: dict[int, S] = {}
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._kept = b""
        self._blocks = Blocks(table=table)
        self._block: tuple[int, int, bytearray] | None = None
        self._last = 0
        """The last stream that was begun."""
        self._sending: dict[int, S] = {}
        self._window = self._initial = 65_535
        self._frame = MAX_FRAME
        """Bytes of a frame that the peer takes."""
        self._unseen = 0
        self._told = False
        self._paused = False
        self._control, self._counted_since = 0, loop.time()

    # --- what each end does in its own way ------------------------------------------------------------------

    @abstractmethod
    def _opens(self, stream: int) -> None:
        """Headers begin. Raises Broken where the peer may send none for this stream."""

    @abstractmethod
    def _came(self, stream: int, flags: int, block: bytes) -> None:
        """A header block is whole."""

    @abstractmethod
    def _data(self, flags: int, stream: int, payload: bytes) -> None:
        """A DATA frame came."""

    @abstractmethod
    def _reset(self, flags: int, stream: int, payload: bytes) -> None:
        """A stream is ended by the peer."""

    def _goaway(self, _flags: int, _stream: int, _payload: bytes) -> None:
        self._count()

    def _setting(self, number: int, value: int) -> None:
        """The peer said something that only this kind of end cares for."""

    def _moved(self, call: S) -> None:
        """Data was sent of a message that had to wait; all of it if `out` is None."""

    def _ended(self, broken: Broken) -> None:
        """The peer broke the protocol, and its connection is about to close."""

    # --- the transport --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(WRITE_WINDOW)

    def pause_writing(self) -> None:
        """The peer is slow."""
        self._paused = True

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self._paused = False
        self._send_more()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        try:
            self._read(data)
        except Broken as broken:
            self._ended(broken)
            words = str(broken).encode()[:200]
            self._write(frames.goaway(self._last_of_peer, broken.code, words))
            self._close()

    @property
    def _last_of_peer(self) -> int:
        """The last stream that the peer began."""
        return 0

    def _read(self, data: bytes) -> None:
        if self._kept:
            data = self._kept + data
        at, end = 0, len(data)
        while end - at >= 9:
            high, low, kind, flags, stream = _FRAME(data, at)
            size = high << 8 | low
            if size > MAX_FRAME:
                raise Broken(frames.FRAME_SIZE_ERROR, f"a frame has {size} bytes, of at most {MAX_FRAME}")
            if end - at < 9 + size:
                break
            payload = data[at + 9 : at + 9 + size]
            at += 9 + size
            if self._block is not None and kind != frames.CONTINUATION:
                raise Broken(frames.PROTOCOL_ERROR, "headers are interrupted by another frame")
            if kind < len(self._HANDLERS):
                self._HANDLERS[kind](self, flags, stream & MAX_WINDOW, payload)
            else:
                self._count()
        self._kept = data[at:] if at < end else b""

    def _close(self) -> None:
        """Close it when what was written is sent, or cannot be."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()
            self._loop.call_later(LINGER_S, self._transport.abort)

    def _block_of(self, headers: bytes) -> bytes:
        """A message's first header block."""
        if self._told:
            return headers
        self._told = True
        return frames.NO_TABLE + headers

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    # --- frames ---------------------------------------------------------------------------------------------

    def _headers(self, flags: int, stream: int, payload: bytes) -> None:
        self._opens(stream)
        block = unpadded(flags, payload)
        if flags & frames.HAS_PRIORITY:
            if len(block) < 5:
                raise Broken(frames.FRAME_SIZE_ERROR, "a priority is cut")
            block = block[5:]
        if flags & frames.END_HEADERS:
            self._came(stream, flags, block)
        else:
            self._block = (stream, flags, bytearray(block))

    def _continuation(self, flags: int, stream: int, payload: bytes) -> None:
        if self._block is None or self._block[0] != stream:
            raise Broken(frames.PROTOCOL_ERROR, "headers go on that were not begun")
        self._count()
        _, first, block = self._block
        block += payload
        if len(block) > MAX_HEADERS:
            raise Broken(frames.ENHANCE_YOUR_CALM, f"headers have more than {MAX_HEADERS} bytes")
        if flags & frames.END_HEADERS:
            self._block = None
            self._came(stream, first, bytes(block))

    def _settings(self, flags: int, stream: int, payload: bytes) -> None:
        if stream or len(payload) % 6 or (flags & frames.ACK and payload):
            raise Broken(frames.FRAME_SIZE_ERROR, "settings have a wrong size")
        self._count()
        if flags & frames.ACK:
            return
        for number, value in _SETTING(payload):
            if number == frames.WINDOW_SETTING:
                self._resize(value)
            elif number == frames.FRAME_SETTING:
                if not MAX_FRAME <= value < 1 << 24:
                    raise Broken(frames.PROTOCOL_ERROR, f"frames cannot have at most {value} bytes")
                self._frame = min(value, TURN)
            else:
                self._setting(number, value)
        self._write(frames.frame(frames.SETTINGS, frames.ACK, 0))
        self._send_more()

    def _resize(self, initial: int) -> None:
        """The window of each stream is another one."""
        for call in self.calls.values():
            call.room += initial - self._initial
        if initial > MAX_WINDOW or any(call.room > MAX_WINDOW for call in self.calls.values()):
            raise Broken(frames.FLOW_CONTROL_ERROR, "a window is too large")
        self._initial = initial

    def _ping(self, flags: int, stream: int, payload: bytes) -> None:
        if stream or len(payload) != 8:
            raise Broken(frames.FRAME_SIZE_ERROR, "a ping has a wrong size")
        self._count()
        if not flags & frames.ACK:
            self._write(frames.frame(frames.PING, frames.ACK, 0, payload))

    def _window_update(self, _flags: int, stream: int, payload: bytes) -> None:
        more = int.from_bytes(payload, "big") & MAX_WINDOW
        if len(payload) != 4 or stream > self._last:
            raise Broken(frames.PROTOCOL_ERROR, "a window is widened that there is not")
        self._count()
        call = self.calls.get(stream)
        if stream == 0:
            self._window += more
        elif call is not None:
            call.room += more
        if not more or self._window > MAX_WINDOW or (call is not None and call.room > MAX_WINDOW):
            raise Broken(frames.FLOW_CONTROL_ERROR, "a window is widened by nothing, or too far")
        if self._sending:
            self._send_more()

    def _ignored(self, _flags: int, _stream: int, _payload: bytes) -> None:
        self._count()

    def _unwanted(self, _flags: int, _stream: int, _payload: bytes) -> NoReturn:
        raise Broken(frames.PROTOCOL_ERROR, "something is pushed that nobody asked for")

    def _count(self) -> None:
        """A frame came that brings no message on."""
        self._control += 1
        if self._control > MAX_CONTROL:
            now = self._loop.time()
            if now - self._counted_since < 1.0:
                raise Broken(frames.ENHANCE_YOUR_CALM, "a flood of frames that ask for nothing")
            self._control, self._counted_since = 0, now

    # --- data that comes: it is taken at once, so windows bound no more than what is on its way -------------

    def _taken(self, size: int) -> None:
        """So much data came, for whichever stream."""
        self._unseen += size
        if self._unseen > CONNECTION_WINDOW // 4:
            self._write(frames.window_update(0, self._unseen))
            self._unseen = 0

    def _taken_of(self, call: S, size: int) -> None:
        """So much came for this one, which is to have more."""
        call.unseen += size
        if call.unseen > STREAM_WINDOW // 2:
            self._write(frames.window_update(call.stream, call.unseen))
            call.unseen = 0

    # --- data that goes -------------------------------------------------------------------------------------

    def _later(self, call: S, out: Outgoing) -> None:
        """Send a message's data as windows allow."""
        call.out = out
        self._sending[call.stream] = call
        self._send_more()

    def _send_more(self) -> None:
        """Send what windows allow of what is waiting, in turns."""
        went = True
        while went:
            went = False
            for call in list(self._sending.values()):
                if self._paused:
                    return
                went = self._send_some(call) or went

    def _send_some(self, call: S) -> bool:
        """Send one turn of a message's data; whether any could be sent."""
        out = call.out
        if out is None:
            return False
        pieces: list[Any] = []
        left = max(0, min(out.size, self._window, call.room, TURN))
        self._window -= left
        call.room -= left
        while left > 0:
            size = min(left, self._frame)
            pieces.append(frames.head(size, frames.DATA, 0, call.stream))
            pieces += out.take(size)
            left -= size
        if not out.size:
            pieces.append(out.tail)
            call.out = None
            del self._sending[call.stream]
        if not pieces:
            return False
        self._write(b"".join(pieces))  # joined: whose memory it was may take it back when this call ends
        self._moved(call)
        return True

    def _forget(self, call: S) -> bool:
        """A stream is over; whether it was there."""
        call.out = None
        self._sending.pop(call.stream, None)
        return self.calls.pop(call.stream, None) is not None


def unpadded(flags: int, payload: bytes) -> bytes:
    """A frame's payload without its padding. Raises Broken."""
    if not flags & frames.PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise Broken(frames.PROTOCOL_ERROR, "padding is larger than its frame")
    return payload[1 : len(payload) - payload[0]]
