"""`wasi:http/types`: fields, requests and responses that come in, and the guest's response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wasmind.component.abi.values import Err, Ok
from wasmind.component.types import Borrow, List, Option, Own, Result
from wasmind.guest_api.wasi.p2.io import ERROR, INPUT_STREAM, OUTPUT_STREAM, POLLABLE
from wasmind.guest_api.wasi_http import wit
from wasmind.guest_api.wasi_http.fields import Fields, HeaderError
from wasmind.guest_api.wasi_http.messages import (
    IncomingRequest,
    IncomingResponse,
    Named,
    OutgoingResponse,
    ResponseOutparam,
)
from wasmind.guest_api.wasi_http.wit import BYTES, CHANGED, OK, STRING, U16, once, types

if TYPE_CHECKING:
    from wasmind.guest_api.wasi.p2.pollable import Pollable
    from wasmind.guest_api.wasi.p2.streams import InputStream, IoError, OutputStream
    from wasmind.guest_api.wasi_http.bodies import ErrorCode, FutureTrailers, IncomingBody, OutgoingBody
    from wasmind.guest_api.wasi_http.host import HttpHost
    from wasmind.sandbox import Guest

# --- fields -----------------------------------------------------------------------------------------------


@types.constructor(wit.FIELDS)
def new_fields(_guest: Guest[HttpHost]) -> Fields:
    """Make empty fields."""
    return Fields()


@types.static(wit.FIELDS, "from-list", {"entries": wit.ENTRIES}, Result(Own(wit.FIELDS), wit.HEADER_ERROR))
def from_list(_guest: Guest[HttpHost], entries: Sequence[tuple[str, bytes]]) -> Fields | HeaderError:
    """Make fields of entries."""
    return Fields.from_list(entries)


@types.method(wit.FIELDS, "get", {"name": STRING}, List(BYTES))
def get(_guest: Guest[HttpHost], fields: Fields, name: str) -> list[bytes]:
    """All values of a name."""
    return fields.get(name)


@types.method(wit.FIELDS, "has", {"name": STRING}, wit.BOOL)
def has(_guest: Guest[HttpHost], fields: Fields, name: str) -> bool:
    """Whether there is an entry of a name."""
    return fields.has(name)


@types.method(wit.FIELDS, "set", {"name": STRING, "value": List(BYTES)}, CHANGED)
def set_(_guest: Guest[HttpHost], fields: Fields, name: str, value: Sequence[bytes]) -> HeaderError | None:
    """Replace all values of a name."""
    return fields.set(name, value)


@types.method(wit.FIELDS, "delete", {"name": STRING}, CHANGED)
def delete(_guest: Guest[HttpHost], fields: Fields, name: str) -> HeaderError | None:
    """Remove all values of a name."""
    return fields.delete(name)


@types.method(wit.FIELDS, "append", {"name": STRING, "value": BYTES}, CHANGED)
def append(_guest: Guest[HttpHost], fields: Fields, name: str, value: bytes) -> HeaderError | None:
    """Add an entry."""
    return fields.append(name, value)


@types.method(wit.FIELDS, "entries", result=wit.ENTRIES)
def entries(_guest: Guest[HttpHost], fields: Fields) -> list[tuple[str, bytes]]:
    """All entries."""
    return fields.entries()


@types.method(wit.FIELDS, "clone", result=Own(wit.FIELDS))
def clone(_guest: Guest[HttpHost], fields: Fields) -> Fields:
    """Make a copy that may be changed."""
    return fields.clone()


# --- the request ------------------------------------------------------------------------------------------


@types.method(wit.INCOMING_REQUEST, "method", result=wit.METHOD)
def request_method(_guest: Guest[HttpHost], request: IncomingRequest) -> Named:
    """Tell its method."""
    return request.method


@types.method(wit.INCOMING_REQUEST, "path-with-query", result=Option(STRING))
def request_path(_guest: Guest[HttpHost], request: IncomingRequest) -> str:
    """Tell its path and query."""
    return request.path_with_query


@types.method(wit.INCOMING_REQUEST, "scheme", result=Option(wit.SCHEME))
def request_scheme(_guest: Guest[HttpHost], request: IncomingRequest) -> Named:
    """Tell its scheme."""
    return request.scheme


@types.method(wit.INCOMING_REQUEST, "authority", result=Option(STRING))
def request_authority(_guest: Guest[HttpHost], request: IncomingRequest) -> str | None:
    """Tell its host and port."""
    return request.authority


@types.method(wit.INCOMING_REQUEST, "headers", result=Own(wit.FIELDS))
@types.method(wit.INCOMING_RESPONSE, "headers", result=Own(wit.FIELDS))
def incoming_headers(_guest: Guest[HttpHost], message: IncomingRequest | IncomingResponse) -> Fields:
    """Give its headers, which cannot be changed."""
    return message.headers


@types.method(wit.INCOMING_REQUEST, "consume", result=once(Own(wit.INCOMING_BODY)))
@types.method(wit.INCOMING_RESPONSE, "consume", result=once(Own(wit.INCOMING_BODY)))
def consume(_guest: Guest[HttpHost], message: IncomingRequest | IncomingResponse) -> IncomingBody | Err[None]:
    """Give its body, once."""
    return message.consume()


@types.method(wit.INCOMING_RESPONSE, "status", result=U16)
def response_status(_guest: Guest[HttpHost], response: IncomingResponse) -> int:
    """Tell a response's status."""
    return response.status


@types.method(wit.INCOMING_BODY, "stream", result=once(Own(INPUT_STREAM)))
def body_stream(_guest: Guest[HttpHost], body: IncomingBody) -> InputStream | Err[None]:
    """Give a body's contents, once."""
    return body.stream()


@types.static(wit.INCOMING_BODY, "finish", {"this": Own(wit.INCOMING_BODY)}, Own(wit.FUTURE_TRAILERS))
def finish_incoming(_guest: Guest[HttpHost], this: IncomingBody) -> FutureTrailers:
    """Go on to a body's trailers."""
    return this.finish()


@types.method(wit.FUTURE_TRAILERS, "subscribe", result=Own(POLLABLE))
def subscribe_trailers(_guest: Guest[HttpHost], trailers: FutureTrailers) -> Pollable:
    """Make a pollable that is ready when the trailers are there."""
    return trailers


@types.method(wit.FUTURE_TRAILERS, "get", result=wit.later(Option(Own(wit.FIELDS))))
def get_trailers(
    _guest: Guest[HttpHost], trailers: FutureTrailers
) -> Ok[Ok[Fields | None] | Err[ErrorCode]] | Err[None] | None:
    """Give the trailers, once."""
    return trailers.get()


# --- the response -----------------------------------------------------------------------------------------


@types.constructor(wit.OUTGOING_RESPONSE, {"headers": Own(wit.FIELDS)})
def new_response(_guest: Guest[HttpHost], headers: Fields) -> OutgoingResponse:
    """Make a response with status 200."""
    return OutgoingResponse(headers)


@types.method(wit.OUTGOING_RESPONSE, "status-code", result=U16)
def status_code(_guest: Guest[HttpHost], response: OutgoingResponse) -> int:
    """Tell its status."""
    return response.status


@types.method(wit.OUTGOING_RESPONSE, "set-status-code", {"status-code": U16}, OK)
def set_status_code(_guest: Guest[HttpHost], response: OutgoingResponse, status: int) -> Err[None] | None:
    """Set its status."""
    return response.set_status(status)


@types.method(wit.OUTGOING_RESPONSE, "headers", result=Own(wit.FIELDS))
def response_headers(_guest: Guest[HttpHost], response: OutgoingResponse) -> Fields:
    """Give its headers, which cannot be changed any more."""
    return response.headers


@types.method(wit.OUTGOING_RESPONSE, "body", result=once(Own(wit.OUTGOING_BODY)))
def response_body(_guest: Guest[HttpHost], response: OutgoingResponse) -> OutgoingBody | Err[None]:
    """Give its body, once."""
    return response.body()


@types.method(wit.OUTGOING_BODY, "write", result=once(Own(OUTPUT_STREAM)))
def body_write(_guest: Guest[HttpHost], body: OutgoingBody) -> OutputStream | Err[None]:
    """Give the stream to write a body to, once."""
    return body.write()


@types.static(
    wit.OUTGOING_BODY,
    "finish",
    {"this": Own(wit.OUTGOING_BODY), "trailers": Option(Own(wit.FIELDS))},
    wit.DONE,
)
def finish_outgoing(
    _guest: Guest[HttpHost], this: OutgoingBody, trailers: Fields | None
) -> Err[ErrorCode] | None:
    """Complete a body."""
    return this.finish(trailers)


@types.static(
    wit.RESPONSE_OUTPARAM,
    "set",
    {"param": Own(wit.RESPONSE_OUTPARAM), "response": Result(Own(wit.OUTGOING_RESPONSE), wit.ERROR_CODE)},
)
def set_response(
    _guest: Guest[HttpHost], param: ResponseOutparam, response: Ok[OutgoingResponse] | Err[ErrorCode]
) -> None:
    """Answer the request."""
    param.set(response if isinstance(response, Err) else response.value)


@types.method(
    wit.RESPONSE_OUTPARAM, "send-informational", {"status": U16, "headers": Own(wit.FIELDS)}, wit.DONE
)
def send_informational(
    _guest: Guest[HttpHost], _param: ResponseOutparam, status: int, _headers: Fields
) -> Err[ErrorCode]:
    """Refuse to send an informational response: the server here cannot."""
    if not 100 <= status <= 199:
        return Err("HTTP-protocol-error")
    return Err(("internal-error", "informational responses are not supported"))


@types.function("http-error-code", {"err": Borrow(ERROR)}, Option(wit.ERROR_CODE))
def http_error_code(_guest: Guest[HttpHost], error: IoError) -> object:
    """Tell the HTTP error behind a stream's error, if there is one."""
    return error.detail
