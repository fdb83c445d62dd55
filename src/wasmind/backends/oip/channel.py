"""The HTTP/2 connections to one server: one, and others when it takes no more requests at once on that."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from itertools import count, islice

from wasmind.backends.oip.dial import CONNECT_S, dial
from wasmind.backends.oip.exchange import Answer, Unreachable, Untouched
from wasmind.backends.oip.http2 import Connection
from wasmind.nn.tensor import Buffer

IDLE_S = 60.0
"""How long an idle connection is kept. A server that closes it earlier says so before."""
TRIES = 3
"""How often a request is sent that the server says it has not begun."""
ALPN = "h2"


class Channel:
    """Requests share connections; used from one event loop."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """`tls` offers HTTP/2."""
        self._host, self._port, self._tls = host, port, tls
        self._connections: list[Connection] = []
        self._waiting: dict[int, asyncio.Future[None]] = {}
        """Requests that no connection takes at the moment, by number, until they have their turn."""
        self._numbers = count()
        self._opening: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def exchange(self, block: bytes, body: Sequence[Buffer], most: int) -> Answer:
        """Send a request with these packed headers, and wait for the answer.

        Raises Unreachable, BrokenOff, TooMuch.
        """
        left = TRIES
        while True:
            connection = (None if self._waiting else self._free()) or await self._turn()
            try:
                return await connection.exchange(block, body, most)
            except Untouched:
                left -= 1
                if not left:
                    raise
            finally:
                if self._waiting:
                    self._wake()

    def close(self) -> None:
        """Close the connections, each after its last answer."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for connection in self._connections:
            connection.leave()
        self._connections = []

    def _free(self) -> Connection | None:
        for connection in self._connections:
            if connection.free:
                return connection
        return None

    async def _turn(self) -> Connection:
        """A connection that takes a request: when one has room again, or another one stands."""
        loop, number = asyncio.get_running_loop(), next(self._numbers)
        try:
            while True:  # whoever is woken in vain keeps its place
                waiter = self._waiting[number] = loop.create_future()
                self._open_more()
                await waiter
                found = self._free()
                if found is not None:
                    self._waiting.pop(number, None)
                    return found
        except BaseException:
            self._waiting.pop(number, None)
            self._wake()  # it may have been its turn, which is another's then
            raise

    def _wake(self) -> None:
        """Let as many go on as there is room for, those first that wait longest."""
        room = sum(one.most - len(one.calls) for one in self._connections if one.free)
        for waiter in islice(self._waiting.values(), room):
            if not waiter.done():
                waiter.set_result(None)
        if self._waiting and not self._alive:
            self._open_more()

    @property
    def _alive(self) -> bool:
        """Whether there is a connection that will have room again."""
        return any(not one.leaving for one in self._connections)

    def _open_more(self) -> None:
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        """Open connections, one after the other, until nobody waits for one."""
        try:
            while not all(waiter.done() for waiter in self._waiting.values()):
                connection = await dial(self._host, self._port, self._tls, Connection)
                await greeted(connection)
                self.adopt(connection)
                self._wake()
        except Unreachable as error:
            if self._alive:
                return
            waiting, self._waiting = self._waiting, {}
            for waiter in waiting.values():
                if not waiter.done():
                    waiter.set_exception(error)
        finally:
            self._opening = None

    def adopt(self, connection: Connection) -> None:
        """Send requests over this one too."""
        if self._closed:
            connection.leave()
            raise Unreachable("its connections were closed")
        self._connections = [one for one in self._connections if not one.leaving]
        self._connections.append(connection)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(IDLE_S, self._sweep)

    def _sweep(self) -> None:
        """Close what was not used for too long."""
        loop = asyncio.get_running_loop()
        earliest = loop.time() - IDLE_S
        for connection in self._connections:
            if not connection.calls and connection.idle_since <= earliest:
                connection.leave()
        self._connections = [one for one in self._connections if not one.leaving]
        self._timer = loop.call_later(IDLE_S, self._sweep) if self._connections else None


async def greeted(connection: Connection) -> None:
    """Wait until the server has said what it takes. Raises Unreachable, and closes the connection then."""
    try:
        async with asyncio.timeout(CONNECT_S):
            await connection.ready
    except TimeoutError as error:
        connection.leave()
        raise Unreachable(f"it does not speak HTTP/2: it said nothing within {CONNECT_S:g} s") from error
    except asyncio.CancelledError:
        connection.leave()
        raise
    if not connection.most:
        connection.leave()
        raise Unreachable("the server takes no requests (MAX_CONCURRENT_STREAMS is 0)")
