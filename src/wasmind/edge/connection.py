"""One client's connection: bytes in, requests out, one after the other; responses in, bytes out."""

from __future__ import annotations

import asyncio
import os
import struct
from collections import deque
from socket import SO_LINGER, SOL_SOCKET, socket
from typing import TYPE_CHECKING, cast

import httptools

from wasmind.edge.body import broken_off
from wasmind.edge.http_request import HttpRequest
from wasmind.edge.request import request_id
from wasmind.edge.response import Response
from wasmind.errors import HeadersTooLarge, RequestError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from wasmind.edge.server import HttpServer

MAX_HEAD = 64 << 10
"""Bytes of a request's line and headers."""
MAX_HEADERS = 128
AHEAD = 8
"""Requests that are read while another one is answered; reading on also shows that a client left."""
MAX_WAITING = 64
"""Requests that a client may send ahead, at the most, in what was read at once."""
WRITE_WINDOW = 64 << 10
"""Bytes kept for a slow client before the sender has to wait."""
DISCARDED = 256 << 10
"""Bytes of an unread body that are still taken, so that the connection can go on or its answer be read."""
PIECES = 512
"""Parts of a body in one read of the socket; a client that sends more, and tiny ones, is slowed down."""
TINY = 64
"""Bytes: a part smaller than this costs more to handle than it carries."""
TINY_PAUSE_S = 0.02

_RESET = struct.pack("ii", 1, 0)
"""A `struct linger` with which a socket is closed by a reset, which no client takes for an end."""
_FRAMING = frozenset((b"content-length", b"transfer-encoding"))


class Connection(asyncio.BufferedProtocol):
    """HTTP/1.1 and 1.0 on one socket. Everything happens in the event loop's thread."""

    __slots__ = (
        "_drained",
        "_headers",
        "_holds",
        "_in_head",
        "_invite",
        "_latest",
        "_lingers",
        "_lost",
        "_pieces",
        "_refusal",
        "_refused",
        "_size",
        "_skip",
        "_target",
        "_transport",
        "_waiting",
        "client",
        "http",
        "local",
        "parser",
        "running",
    )

    def __init__(self, http: HttpServer) -> None:
        self.http = http
        self.parser = httptools.HttpRequestParser(self)
        self.running: HttpRequest | None = None
        self._waiting: deque[HttpRequest] | None = None
        self._latest: HttpRequest | None = None
        self._in_head = False
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._size = 0
        self._pieces = 0
        self._holds = 0
        self._refused = False
        self._refusal: RequestError | None = None
        self._invite = False
        self._skip = False
        self._lingers = False
        self._lost = False
        self._drained: asyncio.Future[None] | None = None

    # --- the transport -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(WRITE_WINDOW)
        self.client = transport.get_extra_info("peername")[:2]
        self.local = transport.get_extra_info("sockname")[:2]
        self.http.opened(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go; they are parsed before anything else is read, so all share one place."""
        return self.http.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes came."""
        if self._refused or self._lingers:
            return
        in_head = self._in_head
        self._pieces = 0
        self._feed(self.http.buffer[:nbytes])
        if self._in_head:
            self._size = self._size + nbytes if in_head else 0
            if self._size > MAX_HEAD:
                self._refuse(_head_too_large())
        elif self._pieces > PIECES and nbytes < self._pieces * TINY:
            self.hold()
            self.http.loop.call_later(TINY_PAUSE_S, self.flow)

    def eof_received(self) -> None:
        """The client sends no more: it is taken to have left, as browsers and proxies that cancel do."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._lost = True
        self.http.closed(self)
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        for request in (self.running, *(self._waiting or ())):
            if request is not None:
                request.body.fail(broken_off(request.body.received))
                request.client_left()
        self._waiting = None

    def pause_writing(self) -> None:
        """The client is slow."""
        self._drained = self.http.loop.create_future()

    def resume_writing(self) -> None:
        """The client has caught up."""
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    # --- the parser ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head = True
        self._target = b""
        self._headers = []
        self._size = 0

    def on_url(self, url: bytes) -> None:
        """A part of its target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; after the head these are trailers, which nobody asked for."""
        if self._in_head:
            self._headers.append((name.lower(), value.rstrip(b" \t")))
            if len(self._headers) > MAX_HEADERS:
                raise _head_too_large()

    def on_headers_complete(self) -> None:
        """Its head is complete: it can be served."""
        self._in_head = False
        if self._skip:
            self._skip = False
            return
        parser = self.parser
        if self._waiting is not None and len(self._waiting) >= MAX_WAITING:
            raise RequestError("too many requests were sent ahead", remedy="wait for answers in between")
        request = self._latest = HttpRequest(self, parser.get_method(), self._target, self._headers)
        self._invite = any(name == b"expect" for name, _ in self._headers) and request.version == "1.1"
        self._skip = parser.should_upgrade()
        if self.running is None:
            self._start(request)
        else:
            self._wait_turn(request)

    def on_body(self, body: bytes) -> None:
        """A part of its body."""
        self._pieces += 1
        if self._latest is not None:
            self._latest.body.put(body)

    def on_message_complete(self) -> None:
        """It has all come."""
        if self._skip:
            return  # the parser stops at an `Upgrade`; the body comes when it was made to go on
        if self._latest is not None:
            self._latest.body.end()
            self._latest = None

    # --- one request after the other -----------------------------------------------------------------------

    def _start(self, request: HttpRequest) -> None:
        self.running = request
        self.http.busy(self)
        request.task = self.http.loop.create_task(self._serve(request))

    async def _serve(self, request: HttpRequest) -> None:
        try:
            await self.http.app(request)
        finally:
            self._finish(request)

    def _wait_turn(self, request: HttpRequest) -> None:
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(request)
        if len(self._waiting) == AHEAD:
            self.hold()

    def _finish(self, request: HttpRequest) -> None:
        """A request has been answered, or will not be."""
        self.running = None
        if self._lost:
            return
        if not request.response.complete:
            self._cut(request.response)
            return
        request.body.drop()
        if not request.response.keep_alive or self._broken_off(request):
            self._close(linger=not request.body.ended)
        elif self._waiting:
            if len(self._waiting) == AHEAD:
                self.flow()
            self._start(self._waiting.popleft())
        elif self._refusal is not None:
            self._tell(self._refusal)
        else:
            self.http.idle(self)

    def _broken_off(self, request: HttpRequest) -> bool:
        """Whether the rest of an unread body makes the connection useless."""
        body = request.body
        if body.ended:
            return False
        length = next((int(value) for name, value in request.headers if name == b"content-length"), None)
        return self._refused or self._invite or length is None or length - body.received > DISCARDED

    def _cut(self, response: Response) -> None:
        """End a transfer so that its client cannot take a part for the whole."""
        if response.delimited and response.status:
            self._close(linger=False)
            return
        with socket(fileno=os.dup(self._transport.get_extra_info("socket").fileno())) as same:
            same.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
        self._transport.abort()

    def _close(self, *, linger: bool) -> None:
        """Close once all is sent; `linger`: the client still sends, and must not lose its answer by that."""
        if self._transport.is_closing():
            return
        self.http.leaving(self)
        if linger:
            self._lingers = True
            self._holds = 1
            self.flow()
            self._transport.write_eof()
        else:
            self._transport.close()

    def expire(self) -> None:
        """It has been idle, or was closing, for too long."""
        self._transport.abort() if self._transport.is_closing() or self._lingers else self._transport.close()

    def abort(self) -> None:
        """Close it now, whatever is under way."""
        self._transport.abort()

    def end_idle(self) -> None:
        """Close it if no request of it is under way."""
        if self.running is None and not self._in_head:
            self._close(linger=False)

    # --- what responses and bodies ask for -----------------------------------------------------------------

    @property
    def closing(self) -> bool:
        """Whether it ends with its current response."""
        return self.http.closing

    def write(self, data: bytes) -> Awaitable[None] | None:
        """Send; what it returns is to be awaited before more is sent."""
        if self._lost or self._lingers or self._transport.is_closing():
            return None
        self._transport.write(data)
        return self._drained

    def hold(self) -> None:
        """Read no further, until `flow` was called as often."""
        self._holds += 1
        if self._holds == 1 and not self._transport.is_closing():
            self._transport.pause_reading()

    def flow(self) -> None:
        """Read on."""
        self._holds -= 1
        if self._holds == 0 and not self._transport.is_closing():
            self._transport.resume_reading()

    def invite(self) -> None:
        """Tell a client that waits for `100 Continue` to send its body."""
        if self._invite:
            self._invite = False
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    # --- what goes wrong -----------------------------------------------------------------------------------

    def _feed(self, data: memoryview | bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            if not isinstance(error.__context__, RequestError):
                raise
            self._refuse(error.__context__)
        except httptools.HttpParserError as error:
            self._refuse(RequestError("the request is malformed", cause=str(error)))

    def _decline(self, rest: memoryview | bytes) -> None:
        """Go on in HTTP/1.1 after a client offered to change to another protocol.

        The parser stops there, before the body; a new one is told of the body's framing only.
        """
        request = self._latest
        assert request is not None
        framing = [b"%b: %b\r\n" % header for header in request.headers if header[0] in _FRAMING]
        if not request.response.keep_alive:
            framing.append(b"connection: close\r\n")
        self.parser = httptools.HttpRequestParser(self)
        self._feed(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(framing))
        self._feed(rest)

    def _refuse(self, error: RequestError) -> None:
        """Nothing that this client sends is read any more; `error` is told when its turn comes."""
        self._refused = True
        if self._latest is not None:
            self._latest.body.fail(error)
        elif self.running is None:
            self._tell(error)
        else:
            self._refusal = error

    def _tell(self, error: RequestError) -> None:
        self.http.refused(error)
        response = Response(self, request_id(self._headers), method=b"GET", version="1.1", keep_alive=False)
        response.problem(error, dev=False)
        self._close(linger=True)


def _head_too_large() -> HeadersTooLarge:
    return HeadersTooLarge(
        "the request's head is too large",
        cause=f"it may have {MAX_HEAD} bytes and {MAX_HEADERS} headers",
        remedy="send fewer or smaller headers, or a body",
    )
