"""A request's head as the ASGI server gives it, checked: what is ambiguous or malformed is refused.

The server's parser already refuses broken header lines, contradicting lengths and a `Transfer-Encoding` in
HTTP/1.0; when both framings are present it obeys `Transfer-Encoding`, removes the length and closes the
connection afterwards (RFC 9112, section 6.3). What it lets through and may not run is refused here.
"""

from __future__ import annotations

import re
import secrets
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

from wasmind.errors import RequestError
from wasmind.guest_api.cgi.request import Request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Headers: TypeAlias = "Sequence[tuple[bytes, bytes]]"

_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?\Z").match
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})").search
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ufffd]").search
_DOTS = re.compile(r"/\.\.?(?:/|\Z)").search
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}\Z").match

_SINGLE = (b"host", b"content-length", b"content-type", b"transfer-encoding", b"x-request-id")
_PREFIX = secrets.token_hex(6).encode() + b"-%x"
_numbers = count(1)


class Head:
    """What of a request's head the edge itself uses; `scope` is for the function's environment."""

    __slots__ = ("chunked", "host", "length", "method", "path", "scope")

    def __init__(self, scope: Mapping[str, Any]) -> None:
        """Check `scope`. Raises RequestError."""
        headers: Headers = scope["headers"]
        found = dict(headers)
        if len(found) != len(headers):
            _refuse_repeated(headers)
        host = found[b"host"]
        if _HOST(host) is None and (host or scope["http_version"] != "1"):
            raise RequestError(
                "the request's Host header is missing or malformed",
                cause=f"Host: {host.decode('latin-1')!r}",
                remedy="send exactly one Host header with a name or address and, if need be, a port",
            )
        coding = found.get(b"transfer-encoding")
        length = found.get(b"content-length")
        if coding is not None and (length is not None or coding.lower() != b"chunked"):
            raise RequestError(
                "the request's framing is ambiguous",
                cause=f"Transfer-Encoding: {coding.decode('latin-1')!r}, Content-Length: {length!r}",
                remedy="send either a Content-Length or `Transfer-Encoding: chunked`",
            )
        self.path = _checked_path(scope)
        self.method: str = scope["method"]
        self.host = host
        self.chunked = coding is not None
        self.length = int(length) if length is not None else 0
        self.scope = scope


def request_id(headers: Headers) -> bytes:
    """The client's `x-request-id` if harmless (1 to 128 letters, digits, `._~:/+=@-`), else a fresh one."""
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID(value) is not None:
            return value
    return _PREFIX % next(_numbers)


def cgi_request(head: Head, script_name: str) -> Request:
    """The request as a function's environment describes it."""
    scope = head.scope
    query: bytes = scope["query_string"]
    raw: bytes = scope["raw_path"]
    client, server = scope["client"], scope["server"]
    return Request(
        method=head.method,
        script_name=script_name,
        path_info=head.path[len(script_name) :],
        target=raw + b"?" + query if query else raw,
        query=query,
        headers=scope["headers"],
        client=(client[0], int(client[1])),
        server=(server[0], int(server[1])),
        http_version="1.1" if scope["http_version"] == "1.1" else "1.0",
        scheme=scope["scheme"],
    )


def _checked_path(scope: Mapping[str, Any]) -> str:
    raw: bytes = scope["raw_path"]
    path: str = scope["path"]
    if raw[:1] != b"/":
        raise RequestError("the request's target is no path", remedy="send a target that begins with a slash")
    if (b"%" in raw and _BAD_ESCAPE(raw) is not None) or _UNPRINTABLE(path) is not None:
        raise RequestError(
            "the request's path is malformed",
            cause="it has a broken percent escape, a control character, or is no UTF-8",
            remedy="percent-encode the path's UTF-8 bytes",
        )
    if "/." in path and _DOTS(path) is not None:
        raise RequestError(
            "the request's path has dot segments",
            cause="a front server and this one could disagree about what `.` and `..` mean",
            remedy="resolve them before sending",
        )
    return path


def _refuse_repeated(headers: Headers) -> None:
    names = [name for name, _ in headers]
    for name in _SINGLE:
        if names.count(name) > 1:
            raise RequestError(
                f"the request repeats the header {name.decode()}", remedy="send this header at most once"
            )
