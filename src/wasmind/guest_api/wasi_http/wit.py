"""The types and resources of `wasi:http/types` 0.2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmind.component.interface import WitInterface
from wasmind.component.types import Case, Field, List, Option, Own, Primitive, Record, Result, Tuple, Variant
from wasmind.guest_api.wasi_http.bodies import IncomingBody, OutgoingBody
from wasmind.guest_api.wasi_http.messages import FutureResponse

if TYPE_CHECKING:
    from wasmind.guest_api.wasi_http.host import HttpHost
    from wasmind.sandbox import Guest

BOOL, STRING, U16, U64 = Primitive.BOOL, Primitive.STRING, Primitive.U16, Primitive.U64
BYTES = List(Primitive.U8)

types = WitInterface("wasi:http/types@0.2.12")


def _close(_guest: Guest[HttpHost], resource: IncomingBody | OutgoingBody | FutureResponse) -> None:
    resource.drop()


FIELDS = types.resource("fields")
INCOMING_REQUEST = types.resource("incoming-request")
OUTGOING_REQUEST = types.resource("outgoing-request")
REQUEST_OPTIONS = types.resource("request-options")
RESPONSE_OUTPARAM = types.resource("response-outparam")
INCOMING_RESPONSE = types.resource("incoming-response")
INCOMING_BODY = types.resource("incoming-body", _close)
FUTURE_TRAILERS = types.resource("future-trailers")
OUTGOING_RESPONSE = types.resource("outgoing-response")
OUTGOING_BODY = types.resource("outgoing-body", _close)
FUTURE_INCOMING_RESPONSE = types.resource("future-incoming-response", _close)

_METHODS = ("get", "head", "post", "put", "delete", "connect", "options", "trace", "patch")
METHOD = Variant(
    (
        *(Case(name) for name in _METHODS),
        Case("other", STRING),
    )
)
SCHEME = Variant((Case("HTTP"), Case("HTTPS"), Case("other", STRING)))
HEADER_ERROR = Variant((Case("invalid-syntax"), Case("forbidden"), Case("immutable")))

_DNS_ERROR = Record((Field("rcode", Option(STRING)), Field("info-code", Option(U16))))
_TLS_ALERT = Record((Field("alert-id", Option(Primitive.U8)), Field("alert-message", Option(STRING))))
_FIELD_SIZE = Record((Field("field-name", Option(STRING)), Field("field-size", Option(Primitive.U32))))
_U32 = Option(Primitive.U32)

ERROR_CODE = Variant(
    (
        Case("DNS-timeout"),
        Case("DNS-error", _DNS_ERROR),
        Case("destination-not-found"),
        Case("destination-unavailable"),
        Case("destination-IP-prohibited"),
        Case("destination-IP-unroutable"),
        Case("connection-refused"),
        Case("connection-terminated"),
        Case("connection-timeout"),
        Case("connection-read-timeout"),
        Case("connection-write-timeout"),
        Case("connection-limit-reached"),
        Case("TLS-protocol-error"),
        Case("TLS-certificate-error"),
        Case("TLS-alert-received", _TLS_ALERT),
        Case("HTTP-request-denied"),
        Case("HTTP-request-length-required"),
        Case("HTTP-request-body-size", Option(U64)),
        Case("HTTP-request-method-invalid"),
        Case("HTTP-request-URI-invalid"),
        Case("HTTP-request-URI-too-long"),
        Case("HTTP-request-header-section-size", _U32),
        Case("HTTP-request-header-size", Option(_FIELD_SIZE)),
        Case("HTTP-request-trailer-section-size", _U32),
        Case("HTTP-request-trailer-size", _FIELD_SIZE),
        Case("HTTP-response-incomplete"),
        Case("HTTP-response-header-section-size", _U32),
        Case("HTTP-response-header-size", _FIELD_SIZE),
        Case("HTTP-response-body-size", Option(U64)),
        Case("HTTP-response-trailer-section-size", _U32),
        Case("HTTP-response-trailer-size", _FIELD_SIZE),
        Case("HTTP-response-transfer-coding", Option(STRING)),
        Case("HTTP-response-content-coding", Option(STRING)),
        Case("HTTP-response-timeout"),
        Case("HTTP-upgrade-failed"),
        Case("HTTP-protocol-error"),
        Case("loop-detected"),
        Case("configuration-error"),
        Case("internal-error", Option(STRING)),
    )
)

DONE = Result(None, ERROR_CODE)
CHANGED = Result(None, HEADER_ERROR)
ENTRIES = List(Tuple((STRING, BYTES)))
OK = Result()


def once(resource: Own) -> Result:
    """The result of a function that gives something at the first call only."""
    return Result(resource, None)


def later(resource: Own | Option) -> Option:
    """The result of a future's `get`."""
    return Option(Result(Result(resource, ERROR_CODE), None))
