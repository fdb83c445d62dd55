"""One client's connection: its requests are served one after the other, and answered in that order."""

from __future__ import annotations

import asyncio
import os
import struct
from collections import deque
from socket import SO_LINGER, SOL_SOCKET, socket
from time import perf_counter
from typing import TYPE_CHECKING, cast

from wasmind.errors import RequestError
from wasmind.httpd.body import broken_off
from wasmind.httpd.head import request_id
from wasmind.httpd.reader import MOST_FREE, Reader
from wasmind.httpd.response import Response

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from wasmind.httpd.request import HttpRequest
    from wasmind.httpd.server import HttpServer

AHEAD = 8
"""Requests that are read while another one is answered; reading on also shows that a client left."""
MAX_WAITING = 64
"""Requests that a client may send ahead, at the most, in what was read at once."""
WRITE_WINDOW = 64 << 10
"""Bytes kept for a slow client before the sender has to wait."""
DISCARDED = 256 << 10
"""Bytes of an unread body that are still taken, so that the connection can go on."""
LAST_S = 0.1
"""How long a stopped server waits for one more request on a connection.

It may be just accepted, or its client was not told to send no more since the response had begun before.
"""
TINY_PAUSE_S = 0.02
"""How long a client waits that sends its body in tiny parts."""

_RESET = struct.pack("ii", 1, 0)
"""A `struct linger` with which a socket is closed by a reset, which no client takes for an end."""


class Connection(asyncio.BufferedProtocol):
    """HTTP/1.1 and 1.0 on one socket. Everything happens in the event loop's thread."""

    __slots__ = (
        "_drained",
        "_holds",
        "_leaves",
        "_lingers",
        "_lost",
        "_reader",
        "_refusal",
        "_refused",
        "_since",
        "_task",
        "_transport",
        "_turn",
        "_waiting",
        "client",
        "closing",
        "http",
        "local",
        "running",
    )

    def __init__(self, http: HttpServer) -> None:
        self.http = http
        self.closing = http.closing
        """Whether it ends with its current response."""
        self.running: HttpRequest | None = None
        """The request that is being served."""
        self._waiting: deque[HttpRequest] | None = None
        self._task: asyncio.Task[None] | None = None
        self._turn: asyncio.Future[None] | None = None
        self._reader: Reader | None = None
        self._refused = False
        self._refusal: RequestError | None = None
        self._holds = 0
        self._drained: asyncio.Future[None] | None = None
        self._since = 0.0
        self._leaves = self._lingers = self._lost = False

    # --- the transport -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(WRITE_WINDOW)
        self.client = transport.get_extra_info("peername")[:2]
        self.local = transport.get_extra_info("sockname")[:2]
        self._since = self.http.loop.time()
        self.http.opened(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go; they are parsed before anything else is read, so all share one place."""
        return self.http.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes came."""
        if self._refused or self._lingers:
            return
        reader = self._reader
        if reader is None:
            free = self.http.readers
            reader = self._reader = free.pop() if free else Reader()
            reader.owner = self
        try:
            if reader.feed(self.http.buffer[:nbytes]):
                self.hold()
                self.http.loop.call_later(TINY_PAUSE_S, self.flow)
        except RequestError as error:
            self._refuse(error)
            return
        if reader.latest is None and reader.reusable and reader.between:
            self._reader = None
            if len(self.http.readers) < MOST_FREE:
                self.http.readers.append(reader)

    def eof_received(self) -> None:
        """The client sends no more: it is taken to have left, as browsers and proxies that cancel do."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._lost = True
        if self._reader is not None:
            self._reader.close()
        self._waiting = self._reader = None
        self.http.closed(self)
        for waiter in (self._drained, self._turn):
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
        request = self.running
        if request is not None:
            request.body.fail(broken_off(request.body.received))
            if self._task is not None and not request.cut and not request.response.complete:
                request.gone = True
                self._task.cancel()

    def pause_writing(self) -> None:
        """The client is slow."""
        self._drained = self.http.loop.create_future()

    def resume_writing(self) -> None:
        """The client has caught up."""
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    # --- one request after the other -----------------------------------------------------------------------

    def came(self, request: HttpRequest) -> None:
        """A request's head has come: serve it, when its turn has come too. Raises RequestError."""
        if self.running is None:
            self._start(request)
            return
        if self._waiting is None:
            self._waiting = deque()
        if len(self._waiting) >= MAX_WAITING:
            raise RequestError("too many requests were sent ahead", remedy="wait for answers in between")
        self._waiting.append(request)
        if len(self._waiting) == AHEAD:
            self.hold()

    def _start(self, request: HttpRequest) -> None:
        self.running = request
        if self._task is None:
            self._task = self.http.loop.create_task(self._serve())
        elif self._turn is not None:
            self._turn.set_result(None)
            self._turn = None

    async def _serve(self) -> None:
        """Serve one request after the other: a task for each would cost as much as routing it."""
        while not self._lost:
            request = self.running
            if request is None:
                self._turn = self.http.loop.create_future()
                await self._turn
                continue
            try:
                await self.http.app(request)
            finally:
                if not request.released:
                    self._finish(request)
            if request.released:
                self.http.released.pop(request, None)
                return

    def release(self, request: HttpRequest) -> None:
        """Go on with the next request: this one is answered, and its task ends by itself."""
        if self.running is not request or self._task is None:
            return
        request.released = perf_counter()
        self.http.released[request] = self._task
        self._task = None
        self._finish(request)

    def _finish(self, request: HttpRequest) -> None:
        """A request has been answered, or will not be."""
        self.running = None
        if self._lost:
            return
        self._since = self.http.loop.time()
        if not request.response.complete:
            self._cut_off(request.response)
            return
        body = request.body
        if not body.ended:
            body.drop()
        if not request.response.keep_alive or (not body.ended and self._broken_off(request)):
            self._close(linger=not body.ended)
        elif self._waiting:
            if len(self._waiting) == AHEAD:
                self.flow()
            self._start(self._waiting.popleft())
        elif self._refusal is not None:
            self._tell(self._refusal)
        elif self.http.stopped:
            self.http.loop.call_later(LAST_S, self.end_idle)

    def _broken_off(self, request: HttpRequest) -> bool:
        """Whether the rest of an unread body makes the connection useless."""
        length = next((int(value) for name, value in request.headers if name == b"content-length"), None)
        left = None if length is None else length - request.body.received
        return self._refused or request.expects or left is None or left > DISCARDED

    def _cut_off(self, response: Response) -> None:
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
        self._leaves = True
        if linger:
            self._lingers = True
            self._holds = 1
            self.flow()
            self._transport.write_eof()
        else:
            self._transport.close()

    def _refuse(self, error: RequestError) -> None:
        """Nothing that this client sends is read any more; `error` is told when its turn comes."""
        self._refused = True
        latest = self._reader.latest if self._reader is not None else None
        if latest is not None:
            latest.body.fail(error)
        elif self.running is None:
            self._tell(error)
        else:
            self._refusal = error

    def _tell(self, error: RequestError) -> None:
        self.http.refused(error)
        identity = request_id(self._reader.identity if self._reader is not None else b"")
        response = Response(self, identity, method=b"GET", version="1.1", keep_alive=False)
        response.problem(error, dev=False)
        self._close(linger=True)

    # --- what the server asks for --------------------------------------------------------------------------

    def expire(self, idle: float, leaving: float) -> None:
        """Close it if it has been idle, or on its way out, since before these times (of the event loop)."""
        if self._leaves or self._transport.is_closing():
            if self._since < leaving:
                self._transport.abort()
        elif self.running is None and self._since < idle:
            self._transport.close()

    def end_idle(self) -> None:
        """Close it if no request of it is under way."""
        if self.running is None and (self._reader is None or self._reader.between):
            self._close(linger=False)

    def cut(self) -> None:
        """End its request: the worker stops."""
        if self.running is not None and self._task is not None and not self.running.gone:
            self.running.cut = True
            self._task.cancel()

    def abort(self) -> None:
        """Close it now, whatever is under way."""
        self._transport.abort()

    # --- what responses and bodies ask for -----------------------------------------------------------------

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
        if self.running is not None and self.running.expects:
            self.running.expects = False
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
