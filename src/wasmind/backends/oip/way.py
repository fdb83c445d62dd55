"""How requests get to a server: over one version of HTTP or the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from wasmind.backends.oip.exchange import Answer
from wasmind.backends.oip.pool import Pool
from wasmind.backends.oip.request import Request


class Way(Protocol):
    """A server, by some version of HTTP; used from one event loop."""

    async def exchange(self, request: Request, headers: Mapping[str, str], body: bytes, most: int) -> Answer:
        """Send a request with these further headers, and wait for its answer, of at most `most` bytes.

        Raises Unreachable, BrokenOff, TooMuch.
        """

    def close(self) -> None:
        """Close the connections, each after its last answer."""


class ByHttp1:
    """A connection for each request at once."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    async def exchange(self, request: Request, headers: Mapping[str, str], body: bytes, most: int) -> Answer:
        """See `Way`."""
        return await self.pool.exchange(request.http1(headers), body, most)

    def close(self) -> None:
        """See `Way`."""
        self.pool.close()
