"""Requests to a function's backends: TLS verified; no proxies, redirects or cookies."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from functools import lru_cache

import httpx

from wasmind.component.abi.values import Err
from wasmind.guest_api.cgi.body import BodySource
from wasmind.guest_api.wasi.p2.streams import StreamFailure
from wasmind.guest_api.wasi_http import models
from wasmind.guest_api.wasi_http.bodies import ErrorCode
from wasmind.guest_api.wasi_http.fields import Fields
from wasmind.guest_api.wasi_http.messages import (
    FutureResponse,
    IncomingResponse,
    OutgoingRequest,
    RequestOptions,
)
from wasmind.guest_api.wasi_http.origin import Origin, backend, origin_of
from wasmind.nn.session import Session

TIMEOUT = 600.0
"""Seconds each phase of a request may take at most; the run's own deadline is shorter."""
CONNECTIONS = 64
"""Connections one function holds at most."""
KEPT_SECONDS = 30.0
"""How long an unused connection is kept."""


class Client:
    """The connections of one deployed function, and the backends it may reach."""

    def __init__(self, backends: Sequence[str]) -> None:
        """Raises ConfigError for an entry that is no backend."""
        self.backends = frozenset(map(backend, backends))
        self._transport: httpx.AsyncHTTPTransport | None = None
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def transport(self) -> httpx.AsyncHTTPTransport:
        """The connection pool, made for the first request."""
        if self._transport is None:
            limits = httpx.Limits(
                max_connections=CONNECTIONS, max_keepalive_connections=8, keepalive_expiry=KEPT_SECONDS
            )
            self._transport = httpx.AsyncHTTPTransport(verify=_tls(), trust_env=False, limits=limits)
        return self._transport

    def give_up(self, response: httpx.Response) -> None:
        """Nobody reads a response any more: let go of its connection."""
        if not response.is_closed:
            task = asyncio.get_running_loop().create_task(response.aclose())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """Close all connections."""
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()


class Outgoing:
    """The requests of one run."""

    __slots__ = ("_client", "_left", "_limit", "_responses", "_tasks")

    def __init__(self, client: Client, limit: int) -> None:
        self._client = client
        self._limit = self._left = limit
        self._tasks: set[asyncio.Task[IncomingResponse | Err[ErrorCode]]] = set()
        self._responses: list[httpx.Response] = []

    def send(
        self,
        request: OutgoingRequest,
        options: RequestOptions,
        note: Callable[[str], None],
        session: Session | None = None,
    ) -> FutureResponse | Err[ErrorCode]:
        """Begin to send a request, or refuse it; `note` explains a refusal to the function's author.

        `session` answers what is sent to the node's own models.
        """
        scheme = "https" if request.scheme is None else _text(request.scheme).lower()
        if not request.authority:
            note("an outgoing request has no authority")
            return Err("HTTP-request-URI-invalid")
        origin = origin_of(scheme, request.authority)
        to_models = session is not None and origin == models.ORIGIN
        if not to_models and origin not in self._client.backends:
            allowed = ", ".join(sorted(map(str, self._client.backends))) or "none"
            wanted = f"{scheme}://{request.authority}"
            note(f"a request to {wanted} was refused: the function's backends are {allowed}")
            return Err("HTTP-request-denied")
        if not self._left:
            note(f"a request to {origin} was refused: a run may send {self._limit} (limits.backend_requests)")
            return Err("connection-limit-reached")
        self._left -= 1
        assert origin is not None
        sending = (
            self._ask_models(request, session, note)
            if to_models and session is not None
            else self._exchange(origin, request, options)
        )
        task = asyncio.get_running_loop().create_task(sending)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return FutureResponse(task)

    async def _ask_models(
        self, request: OutgoingRequest, session: Session, note: Callable[[str], None]
    ) -> IncomingResponse | Err[ErrorCode]:
        try:
            return await models.ask(request, _Body(request) if request.taken else _nothing(), session, note)
        except StreamFailure as error:
            return Err(_code(error))

    async def _exchange(
        self, origin: Origin, request: OutgoingRequest, options: RequestOptions
    ) -> IncomingResponse | Err[ErrorCode]:
        connect, between = _seconds(options.connect), _seconds(options.between_bytes)
        timeout = {
            "connect": connect,
            "pool": connect,
            "write": between,
            "read": _seconds(options.first_byte),
        }
        message = httpx.Request(
            _text(request.method).upper() if isinstance(request.method, str) else request.method[1],
            httpx.URL(scheme=origin.scheme, host=origin.host.strip("[]"), port=origin.port),
            headers=[*request.headers.wire(), (b"host", (request.authority or "").encode())],
            content=_Body(request) if request.taken else None,
            extensions={"timeout": timeout, "target": _target(request.path_with_query or "/")},
        )
        try:
            response = await self._client.transport.handle_async_request(message)
        except httpx.ReadTimeout:
            return Err("HTTP-response-timeout")
        except (httpx.HTTPError, StreamFailure) as error:
            return Err(_code(error))
        self._responses.append(response)
        timeout["read"] = between  # read again for each part of the body
        headers = [(name.lower(), value) for name, value in response.headers.raw]
        return IncomingResponse(response.status_code, Fields.received(headers), _source(response))

    def close(self) -> None:
        """Give up what is still under way."""
        for task in self._tasks:
            task.cancel()
        for response in self._responses:
            self._client.give_up(response)
        self._responses.clear()


async def _nothing() -> AsyncIterator[bytes]:
    """The body of a request whose guest never asked for one."""
    parts: tuple[bytes, ...] = ()
    for part in parts:
        yield part


class _Body(httpx.AsyncByteStream):
    """A request's body, as the guest writes it."""

    def __init__(self, request: OutgoingRequest) -> None:
        self._pipe = request.pipe
        self._written = asyncio.Event()
        self._pipe.on_wake(self._written.set)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pipe = self._pipe
        while True:
            await self._written.wait()
            self._written.clear()
            if pipe.size:
                yield pipe.take()
            if pipe.ended and not pipe.size:
                break
        if not pipe.complete:
            raise StreamFailure("the function gave its request's body up", "connection-terminated")

    async def aclose(self) -> None:
        """The server wants no more of it."""
        self._pipe.abandon()


def _source(response: httpx.Response) -> BodySource:
    """A response's body, received when the guest reads."""
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)
    parts = aiter(stream)

    async def receive() -> bytes:
        try:
            async for part in parts:
                if part:
                    return part
        except httpx.HTTPError as error:
            raise StreamFailure(f"the response broke off: {error}", _code(error)) from error
        await response.aclose()
        return b""

    return BodySource(receive)


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Made once: reading the authorities takes tens of milliseconds."""
    return httpx.create_ssl_context(trust_env=False)


def _target(target: str) -> bytes:
    """The path and query as they are sent. They are never parsed: `//other.host/` is a path of its origin."""
    return (target if target.startswith(("/", "*")) else f"/{target}").encode()


def _text(named: str | tuple[str, str]) -> str:
    return named if isinstance(named, str) else named[1]


def _seconds(nanoseconds: int | None) -> float:
    return TIMEOUT if nanoseconds is None else min(nanoseconds / 1e9, TIMEOUT)


def _code(error: Exception) -> ErrorCode:
    """The error code for what went wrong."""
    match error:
        case StreamFailure(detail=(str() | tuple()) as detail):
            return detail
        case httpx.ConnectTimeout():
            return "connection-timeout"
        case httpx.PoolTimeout():
            return "connection-limit-reached"
        case httpx.WriteTimeout():
            return "connection-write-timeout"
        case httpx.ReadTimeout():
            return "connection-read-timeout"
        case httpx.ConnectError():
            return _connect_code(str(error))
        case httpx.LocalProtocolError() | httpx.UnsupportedProtocol():
            return "HTTP-request-URI-invalid"
        case httpx.RemoteProtocolError():
            return "HTTP-protocol-error"
        case httpx.NetworkError():
            return "connection-terminated"
    return ("internal-error", str(error))


def _connect_code(text: str) -> ErrorCode:
    """What kept a connection from being made; httpx tells it only in words."""
    lower = text.lower()
    if "certificate" in lower:
        return "TLS-certificate-error"
    if "ssl" in lower or "tls" in lower:
        return "TLS-protocol-error"
    if "name" in lower or "address associated" in lower or "getaddrinfo" in lower:
        return ("DNS-error", (text, None))
    if "unreachable" in lower or "no route" in lower:
        return "destination-IP-unroutable"
    return "connection-refused"
