"""Requests over HTTP/2, or over whichever version of HTTP a server picks as TLS begins (ALPN, RFC 7301)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from wasmind.backends.oip import http1, http2
from wasmind.backends.oip.channel import ALPN, Channel, greeted
from wasmind.backends.oip.credentials import tls
from wasmind.backends.oip.dial import dial
from wasmind.backends.oip.exchange import Answer, Unreachable
from wasmind.backends.oip.pool import Pool
from wasmind.backends.oip.request import Request
from wasmind.backends.oip.way import ByHttp1, Way

if TYPE_CHECKING:
    from wasmind.config import KServe


class ByHttp2:
    """Requests share a connection."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    async def exchange(self, request: Request, headers: Mapping[str, str], body: bytes, most: int) -> Answer:
        """See `Way`."""
        return await self.channel.exchange(request.http2(headers), (body,), most)

    def close(self) -> None:
        """See `Way`."""
        self.channel.close()


class ByAlpn:
    """By HTTP/2 where the server picks it, else by HTTP/1.1. It is asked again when it was away."""

    def __init__(self, host: str, port: int, settings: KServe) -> None:
        """Raises ConfigError for certificates that cannot be used."""
        self._host, self._port = host, port
        self._either = tls(settings, ALPN, "http/1.1")
        self._http1, self._http2 = tls(settings, "http/1.1"), tls(settings, ALPN)
        self._way: Way | None = None
        self._choosing = asyncio.Lock()
        self._closed = False

    async def exchange(self, request: Request, headers: Mapping[str, str], body: bytes, most: int) -> Answer:
        """See `Way`."""
        way = self._way or await self._chosen()
        try:
            return await way.exchange(request, headers, body, most)
        except Unreachable:
            if self._way is way:
                self._way = None
                way.close()
            raise

    def close(self) -> None:
        """See `Way`."""
        self._closed = True
        if self._way is not None:
            self._way.close()

    async def _chosen(self) -> Way:
        async with self._choosing:
            if self._way is None:
                self._way = await self._choose()
            if self._closed:
                self._way.close()
            return self._way

    async def _choose(self) -> Way:
        """Connect, and see what the server picks; the connection is used for what it was made for."""
        undecided = await dial(self._host, self._port, self._either, _Undecided)
        if isinstance(undecided.became, http2.Connection):
            await greeted(undecided.became)
            channel = Channel(self._host, self._port, self._http2)
            channel.adopt(undecided.became)
            return ByHttp2(channel)
        pool = Pool(self._host, self._port, self._http1)
        pool.adopt(undecided.became)
        return ByHttp1(pool)


class _Undecided(asyncio.Protocol):
    """A connection until it is known which version is spoken."""

    became: http1.Connection | http2.Connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TLS stands."""
        picked = transport.get_extra_info("ssl_object").selected_alpn_protocol()
        self.became = http2.Connection() if picked == ALPN else http1.Connection()
        transport.set_protocol(self.became)
        self.became.connection_made(transport)
