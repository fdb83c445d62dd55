"""`wasi:http/types` and `wasi:http/outgoing-handler`: requests that a guest makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmind.component.abi.values import Err, Ok
from wasmind.component.interface import WitInterface
from wasmind.component.types import Option, Own, Result
from wasmind.guest_api.wasi.p2.io import POLLABLE
from wasmind.guest_api.wasi.p2.pollable import Done, Pollable
from wasmind.guest_api.wasi_http import wit
from wasmind.guest_api.wasi_http.messages import (
    FutureResponse,
    IncomingResponse,
    Named,
    OutgoingRequest,
    RequestOptions,
)
from wasmind.guest_api.wasi_http.wit import OK, STRING, U64, once, types

if TYPE_CHECKING:
    from wasmind.guest_api.wasi_http.bodies import ErrorCode, OutgoingBody
    from wasmind.guest_api.wasi_http.fields import Fields
    from wasmind.guest_api.wasi_http.host import HttpHost
    from wasmind.sandbox import Guest

# --- the request ------------------------------------------------------------------------------------------


@types.constructor(wit.OUTGOING_REQUEST, {"headers": Own(wit.FIELDS)})
def new_request(_guest: Guest[HttpHost], headers: Fields) -> OutgoingRequest:
    """Make a GET request."""
    return OutgoingRequest(headers)


@types.method(wit.OUTGOING_REQUEST, "body", result=once(Own(wit.OUTGOING_BODY)))
def request_body(_guest: Guest[HttpHost], request: OutgoingRequest) -> OutgoingBody | Err[None]:
    """Give its body, once."""
    return request.body()


@types.method(wit.OUTGOING_REQUEST, "method", result=wit.METHOD)
def method(_guest: Guest[HttpHost], request: OutgoingRequest) -> Named:
    """Tell its method."""
    return request.method


@types.method(wit.OUTGOING_REQUEST, "set-method", {"method": wit.METHOD}, OK)
def set_method(_guest: Guest[HttpHost], request: OutgoingRequest, value: Named) -> Err[None] | None:
    """Set its method."""
    return request.set_method(value)


@types.method(wit.OUTGOING_REQUEST, "path-with-query", result=Option(STRING))
def path_with_query(_guest: Guest[HttpHost], request: OutgoingRequest) -> str | None:
    """Tell its path and query."""
    return request.path_with_query


@types.method(wit.OUTGOING_REQUEST, "set-path-with-query", {"path-with-query": Option(STRING)}, OK)
def set_path_with_query(
    _guest: Guest[HttpHost], request: OutgoingRequest, value: str | None
) -> Err[None] | None:
    """Set its path and query."""
    return request.set_path_with_query(value)


@types.method(wit.OUTGOING_REQUEST, "scheme", result=Option(wit.SCHEME))
def scheme(_guest: Guest[HttpHost], request: OutgoingRequest) -> Named | None:
    """Tell its scheme."""
    return request.scheme


@types.method(wit.OUTGOING_REQUEST, "set-scheme", {"scheme": Option(wit.SCHEME)}, OK)
def set_scheme(_guest: Guest[HttpHost], request: OutgoingRequest, value: Named | None) -> Err[None] | None:
    """Set its scheme."""
    return request.set_scheme(value)


@types.method(wit.OUTGOING_REQUEST, "authority", result=Option(STRING))
def authority(_guest: Guest[HttpHost], request: OutgoingRequest) -> str | None:
    """Tell its host and port."""
    return request.authority


@types.method(wit.OUTGOING_REQUEST, "set-authority", {"authority": Option(STRING)}, OK)
def set_authority(_guest: Guest[HttpHost], request: OutgoingRequest, value: str | None) -> Err[None] | None:
    """Set its host and port."""
    return request.set_authority(value)


@types.method(wit.OUTGOING_REQUEST, "headers", result=Own(wit.FIELDS))
def request_headers(_guest: Guest[HttpHost], request: OutgoingRequest) -> Fields:
    """Give its headers, which cannot be changed any more."""
    return request.headers


# --- its timeouts -----------------------------------------------------------------------------------------


@types.constructor(wit.REQUEST_OPTIONS)
def new_options(_guest: Guest[HttpHost]) -> RequestOptions:
    """Make options without timeouts of their own."""
    return RequestOptions()


def _timeout(name: str, attribute: str) -> None:
    """Declare how one timeout is read and set."""

    def read(_guest: Guest[HttpHost], options: RequestOptions) -> int | None:
        value: int | None = getattr(options, attribute)
        return value

    def write(_guest: Guest[HttpHost], options: RequestOptions, duration: int | None) -> None:
        setattr(options, attribute, duration)

    types.method(wit.REQUEST_OPTIONS, name, result=Option(U64))(read)
    types.method(wit.REQUEST_OPTIONS, f"set-{name}", {"duration": Option(U64)}, OK)(write)


_timeout("connect-timeout", "connect")
_timeout("first-byte-timeout", "first_byte")
_timeout("between-bytes-timeout", "between_bytes")

# --- the response -----------------------------------------------------------------------------------------


@types.method(wit.FUTURE_INCOMING_RESPONSE, "subscribe", result=Own(POLLABLE))
def subscribe(_guest: Guest[HttpHost], response: FutureResponse) -> Pollable:
    """Make a pollable that is ready when the response is there."""
    return Done(response.future)


@types.method(wit.FUTURE_INCOMING_RESPONSE, "get", result=wit.later(Own(wit.INCOMING_RESPONSE)))
def get_response(
    _guest: Guest[HttpHost], response: FutureResponse
) -> Ok[Ok[IncomingResponse] | Err[ErrorCode]] | Err[None] | None:
    """Give the response or the error, once it is there, once."""
    return response.get()


outgoing_handler = WitInterface("wasi:http/outgoing-handler@0.2.12")


@outgoing_handler.function(
    "handle",
    {"request": Own(wit.OUTGOING_REQUEST), "options": Option(Own(wit.REQUEST_OPTIONS))},
    Result(Own(wit.FUTURE_INCOMING_RESPONSE), wit.ERROR_CODE),
)
def handle(
    guest: Guest[HttpHost], request: OutgoingRequest, options: RequestOptions | None
) -> FutureResponse | Err[ErrorCode]:
    """Begin to send a request to one of the function's backends, or to its models."""
    host = guest.host
    return host.outgoing.send(request, options or RequestOptions(), host.note, host.nn)
