"""`wasi:http` requests and responses, as guests see and make them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TypeAlias

from wasmind.component.abi.values import Err, Ok
from wasmind.errors import GuestTrap
from wasmind.guest_api.cgi.request import Request
from wasmind.guest_api.stdio import Source
from wasmind.guest_api.wasi_http.bodies import TAKEN, ErrorCode, IncomingBody, OutgoingBody, Trailers
from wasmind.guest_api.wasi_http.fields import Fields
from wasmind.guest_api.wasi_http.pipe import BodyPipe

Named: TypeAlias = str | tuple[str, str]
"""A method or a scheme: one of the cases with a name of its own, or ("other", name)."""

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"))
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z", re.ASCII)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+\-.]*\Z", re.ASCII)
_TARGET = re.compile(r"[/?][!\"$-~]*\Z|\*\Z|\Z", re.ASCII)
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9\-._~%!$&'()*+,;=]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?\Z", re.ASCII)
MAX_TARGET = 64 << 10


def method_of(name: str) -> Named:
    """A method's case."""
    return name.lower() if name in _METHODS else ("other", name)


class IncomingMessage:
    """What requests and responses that come in have in common: a body, given once."""

    __slots__ = ("_source", "_trailers")

    def __init__(self, source: Source, trailers: Trailers = tuple) -> None:
        self._source: Source | None = source
        self._trailers = trailers

    def consume(self) -> IncomingBody | Err[None]:
        """The body; once."""
        source, self._source = self._source, None
        return TAKEN if source is None else IncomingBody(source, self._trailers)


class IncomingRequest(IncomingMessage):
    """The request that the guest serves."""

    __slots__ = ("_fields", "_request")

    def __init__(self, request: Request, source: Source, trailers: Trailers = tuple) -> None:
        """What of `request` the guest asks for is made then."""
        super().__init__(source, trailers)
        self._request = request
        self._fields: Fields | None = None

    @property
    def method(self) -> Named:
        """How it was asked for."""
        return method_of(self._request.method)

    @property
    def path_with_query(self) -> str:
        """What was asked for, as it was sent."""
        return self._request.target.decode("latin-1")

    @property
    def scheme(self) -> Named:
        """By which protocol."""
        return self._request.scheme.upper()

    @property
    def authority(self) -> str:
        """The Host header, or where the server listens: some language runtimes end a guest without one."""
        for name, value in self._request.headers:
            if name == b"host" and value:
                return value.decode("latin-1")
        host, port = self._request.server
        return f"{host}:{port}"

    @property
    def headers(self) -> Fields:
        """The headers, without the connection's own."""
        if self._fields is None:
            self._fields = Fields.received(self._request.headers)
        return self._fields


class IncomingResponse(IncomingMessage):
    """A response to a request of the guest."""

    __slots__ = ("headers", "status")

    def __init__(self, status: int, headers: Fields, source: Source) -> None:
        super().__init__(source)
        self.status = status
        self.headers = headers


class OutgoingMessage:
    """What requests and responses of the guest have in common: headers, and a body given once."""

    __slots__ = ("headers", "pipe", "taken", "trailers")
    _size_error = ""

    def __init__(self, headers: Fields) -> None:
        self.headers = headers.frozen()
        self.taken = False
        """Whether the guest asked for the body."""
        self.trailers: Fields | None = None
        self.pipe = BodyPipe(_content_length(headers), self._size_error)

    def body(self) -> OutgoingBody | Err[None]:
        """The body; once."""
        if self.taken:
            return TAKEN
        self.taken = True
        return OutgoingBody(self.pipe, self._finished)

    def _finished(self, trailers: Fields | None) -> None:
        self.trailers = trailers


class OutgoingResponse(OutgoingMessage):
    """The guest's response."""

    __slots__ = ("status",)
    _size_error = "HTTP-response-body-size"

    def __init__(self, headers: Fields) -> None:
        super().__init__(headers)
        self.status = 200

    def set_status(self, status: int) -> Err[None] | None:
        """Set the status; informational ones are no response."""
        if not 200 <= status <= 999:
            return TAKEN
        self.status = status
        return None


class OutgoingRequest(OutgoingMessage):
    """A request of the guest to somebody else."""

    __slots__ = ("authority", "method", "path_with_query", "scheme")
    _size_error = "HTTP-request-body-size"

    def __init__(self, headers: Fields) -> None:
        super().__init__(headers)
        self.method: Named = "get"
        self.path_with_query: str | None = None
        self.scheme: Named | None = None
        self.authority: str | None = None

    def set_method(self, method: Named) -> Err[None] | None:
        """Set the method."""
        if isinstance(method, tuple):
            if not _TOKEN.match(method[1]):
                return TAKEN
            method = method_of(method[1])
        self.method = method
        return None

    def set_path_with_query(self, target: str | None) -> Err[None] | None:
        """Set path and query."""
        if target is not None and (len(target) > MAX_TARGET or not _TARGET.match(target)):
            return TAKEN
        self.path_with_query = target
        return None

    def set_scheme(self, scheme: Named | None) -> Err[None] | None:
        """Set the scheme."""
        if isinstance(scheme, tuple) and not _SCHEME.match(scheme[1]):
            return TAKEN
        self.scheme = scheme
        return None

    def set_authority(self, authority: str | None) -> Err[None] | None:
        """Set host and port."""
        if authority is not None and not _AUTHORITY.match(authority):
            return TAKEN
        self.authority = authority
        return None


class RequestOptions:
    """Timeouts of a request, in nanoseconds."""

    __slots__ = ("between_bytes", "connect", "first_byte")

    def __init__(self) -> None:
        self.connect: int | None = None
        self.first_byte: int | None = None
        self.between_bytes: int | None = None


class ResponseOutparam:
    """Where the guest's response is put. `set` is called once, since the handle is given away."""

    __slots__ = ("_answered",)

    def __init__(self, answered: Callable[[OutgoingResponse | Err[ErrorCode]], None]) -> None:
        self._answered = answered

    def set(self, response: OutgoingResponse | Err[ErrorCode]) -> None:
        """Answer the request."""
        self._answered(response)


class FutureResponse:
    """The response to a request of the guest, once it is there."""

    __slots__ = ("_given", "future")

    def __init__(self, future: asyncio.Future[IncomingResponse | Err[ErrorCode]]) -> None:
        self.future = future
        self._given = False

    def get(self) -> Ok[Ok[IncomingResponse] | Err[ErrorCode]] | Err[None] | None:
        """None while there is none; the response or the error, once."""
        if not self.future.done():
            return None
        if self._given:
            return TAKEN
        self._given = True
        answer = self.future.result()
        return Ok(answer if isinstance(answer, Err) else Ok(answer))

    def drop(self) -> None:
        """Nobody waits for it any more."""
        self.future.cancel()


def _content_length(headers: Fields) -> int | None:
    """What the guest's headers promise. Raises GuestTrap if it is no length."""
    values = headers.get("content-length")
    if not values:
        return None
    value = values[0]
    if len(set(values)) > 1 or not value.isdigit() or len(value) > 18:
        raise GuestTrap("a message has a content-length that is no length", cause=f"it is {value[:40]!r}")
    return int(value)
