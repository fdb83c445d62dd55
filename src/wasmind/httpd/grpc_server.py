"""A server of unary gRPC calls, on a listening socket that the supervisor made and keeps."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from wasmind.httpd.grpc import Connection
from wasmind.httpd.grpc_call import CANCELLED, DEADLINE_EXCEEDED, Call, Refused

if TYPE_CHECKING:
    import socket

BACKLOG = 4096
IDLE_S = 900.0
"""How long a connection without calls is kept; its client makes another one when it calls again."""
TURN_S = 1.0
POLL_S = 0.02
"""How often a drain looks."""


class App(Protocol):
    """What answers calls."""

    def begin(self, call: Call) -> None:
        """A call's headers came. Raises Refused; then `end` is called as well."""

    async def answer(self, call: Call) -> bytes:
        """A call's message has come. Raises Refused."""

    def end(self, call: Call) -> None:
        """A call was answered, refused, or given up by its client."""


class GrpcServer:
    """Accepts connections and gives each of their calls to `app`."""

    def __init__(
        self,
        app: App,
        listener: socket.socket,
        *,
        most: int,
        streams: int,
        connections: int,
        head_s: float,
        stall_s: float,
    ) -> None:
        """`most` bounds a message in bytes, `streams` the calls at once of a connection.

        A client must call within `head_s` seconds of connecting, and send and take data within `stall_s`.
        """
        self.app = app
        self.loop = asyncio.get_running_loop()
        self.most = most
        self.streams = streams
        self._listener = listener
        self._connections = connections
        self._head_s, self._stall_s = head_s, stall_s
        self._server: asyncio.Server | None = None
        self._open: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Accept connections from now on."""
        self._listener.setblocking(False)
        self._server = await self.loop.create_server(
            lambda: Connection(self), sock=self._listener, backlog=BACKLOG
        )
        self._turn()

    async def stop(self, seconds: float) -> int:
        """Accept no more, let calls finish within `seconds`; how many were cut."""
        if self._server is not None:
            self._server.close()
        ends = self.loop.time() + seconds
        for connection in list(self._open):
            connection.close()
        while any(connection.calls for connection in self._open) and self.loop.time() < ends:
            await asyncio.sleep(POLL_S)
        cut = sum(len(connection.calls) for connection in self._open)
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self._open):
            connection.abort()
        return cut

    async def serve(self, call: Call) -> None:
        """Answer a call whose message has come."""
        connection = call.connection
        try:
            async with asyncio.timeout(call.timeout):
                message = await self.app.answer(call)
        except Refused as refused:
            connection.refuse(call, refused)
        except TimeoutError:
            connection.refuse(call, Refused(DEADLINE_EXCEEDED, "the client's deadline passed"))
        except asyncio.CancelledError:
            connection.refuse(call, Refused(CANCELLED, "the call was cancelled"))
            raise
        else:
            connection.answer(call, message)

    def opened(self, connection: Connection) -> None:
        """It is there."""
        self._open.add(connection)
        if len(self._open) > self._connections:
            connection.abort()

    def closed(self, connection: Connection) -> None:
        """It is gone."""
        self._open.discard(connection)

    def _turn(self) -> None:
        now = self.loop.time()
        for connection in list(self._open):
            connection.turn(now, self._head_s, self._stall_s, IDLE_S)
        self._timer = self.loop.call_later(TURN_S, self._turn)
