"""An HTTP server on a listening socket that the supervisor made and keeps.

It is uvloop's sockets and llhttp's parser, in the event loop's own thread (docs/decisions/0005).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from wasmind.httpd.connection import LAST_S, Connection

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from wasmind.errors import RequestError
    from wasmind.httpd.reader import Reader
    from wasmind.httpd.request import HttpRequest

READ = 32 << 10
"""Bytes read from a socket at once."""
LEAVE_S = 2.0
"""How long a connection that is being closed may take to send what is left, or to stop sending."""
BACKLOG = 4096


class HttpServer:
    """Accepts connections and gives each of their requests to `app`."""

    def __init__(
        self,
        app: Callable[[HttpRequest], Awaitable[None]],
        refused: Callable[[RequestError], object],
        listener: socket.socket,
        *,
        header_timeout_ms: float,
        connections: int,
    ) -> None:
        """`app` answers a request and raises nothing; `refused` hears of what was no request.

        `connections` bounds the open connections; those beyond it are closed at once. A connection that sends
        no complete head for `header_timeout_ms` is closed, be it new or idle.
        """
        self.app = app
        self.refused = refused
        self.loop = asyncio.get_running_loop()
        self.buffer = memoryview(bytearray(READ))
        self.readers: list[Reader] = []
        """Those that no connection has now."""
        self.closing = False
        """Whether each connection ends with its current response."""
        self.stopped = False
        """Whether no more connections are accepted."""
        self.released: dict[HttpRequest, asyncio.Task[None]] = {}
        """Requests that are answered and whose work goes on, with the tasks that do it."""
        self._listener = listener
        self._most = connections
        self._server: asyncio.Server | None = None
        self._open: set[Connection] = set()
        self._idle_s = header_timeout_ms / 1000
        self._empty = asyncio.Event()
        self._empty.set()
        self._sweep: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Accept connections from now on."""
        self._listener.setblocking(False)
        self._server = await self.loop.create_server(
            lambda: Connection(self), sock=self._listener, backlog=BACKLOG
        )
        self._turn()

    def close_connections(self) -> None:
        """Let each connection end with its current response, or its next one."""
        self.closing = True
        for connection in self._open:
            connection.closing = True

    def stop(self) -> None:
        """Accept no more; close idle connections soon and the others after their current request."""
        self.stopped = True
        self.close_connections()
        if self._server is not None:
            self._server.close()
        self.loop.call_later(LAST_S, self._end_idle)

    def _end_idle(self) -> None:
        for connection in list(self._open):
            connection.end_idle()

    async def wait(self) -> None:
        """Wait until the last connection is closed."""
        await self._empty.wait()

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._open)

    def cut(self) -> None:
        """End what runs."""
        for connection in list(self._open):
            connection.cut()
        for request, task in self.released.items():
            request.cut = True
            task.cancel()

    def abort(self) -> None:
        """Close what is still open, whatever it does."""
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in list(self._open):
            connection.abort()

    @property
    def running(self) -> list[HttpRequest]:
        """The requests under way, also those that are answered already."""
        running = [connection.running for connection in self._open if connection.running is not None]
        return [*running, *self.released]

    # --- what connections tell -----------------------------------------------------------------------------

    def opened(self, connection: Connection) -> None:
        """It is there."""
        self._open.add(connection)
        self._empty.clear()
        if len(self._open) > self._most:
            connection.abort()

    def closed(self, connection: Connection) -> None:
        """It is gone."""
        self._open.discard(connection)
        if not self._open:
            self._empty.set()

    def _turn(self) -> None:
        now = self.loop.time()
        for connection in list(self._open):
            connection.expire(now - self._idle_s, now - LEAVE_S)
        self._sweep = self.loop.call_later(max(0.05, min(1.0, self._idle_s / 4)), self._turn)
