"""The connections to one server: kept for a while, used again, most recently used first."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque

from wasmind.backends.oip.connection import Answer, Connection, Unreachable

CONNECT_S = 5.0
"""How long a server may take to accept a connection, TLS included."""
IDLE_S = 4.0
"""How long an idle connection is kept: less than the five seconds after which common servers close theirs."""


class Pool:
    """As many connections as there are exchanges at once; used from one event loop."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._idle: deque[Connection] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def exchange(self, head: bytes, body: bytes, most: int) -> Answer:
        """Send a request on a connection of its own for the time, and wait for the answer.

        Raises Unreachable, BrokenOff, TooMuch.
        """
        connection = self._kept() or await self._open()
        try:
            return await connection.exchange(head, body, most)
        finally:
            self._done(connection)

    def close(self) -> None:
        """Close the idle ones; those in use are closed when they are done."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        while self._idle:
            self._idle.pop().close()

    def _kept(self) -> Connection | None:
        earliest = asyncio.get_running_loop().time() - IDLE_S
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and connection.idle_since > earliest:
                return connection
            connection.close()
        return None

    async def _open(self) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_S):
                _, connection = await loop.create_connection(
                    Connection,
                    self._host,
                    self._port,
                    ssl=self._tls,
                    server_hostname=self._host if self._tls is not None else None,
                )
        except TimeoutError as error:
            raise Unreachable(f"no connection within {CONNECT_S:g} s") from error
        except OSError as error:  # ssl.SSLError is one
            raise Unreachable(str(error) or type(error).__name__) from error
        return connection

    def _done(self, connection: Connection) -> None:
        if not connection.reusable or self._closed:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._timer is None:
            self._timer = loop.call_later(IDLE_S, self._sweep)

    def _sweep(self) -> None:
        """Close what was not used for too long."""
        loop = asyncio.get_running_loop()
        earliest = loop.time() - IDLE_S
        while self._idle and self._idle[0].idle_since <= earliest:
            self._idle.popleft().close()
        self._timer = None
        if self._idle:
            self._timer = loop.call_at(self._idle[0].idle_since + IDLE_S, self._sweep)
