"""The connections to one server: kept for a while, used again, most recently used first."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque

from wasmind.backends.oip.dial import dial
from wasmind.backends.oip.exchange import Answer
from wasmind.backends.oip.http1 import Connection

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
        connection = self._kept() or await dial(self._host, self._port, self._tls, Connection)
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

    def adopt(self, connection: Connection) -> None:
        """Send requests over this one too, which has none yet."""
        self._done(connection)

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
