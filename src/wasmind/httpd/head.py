"""A request's head, checked: what is ambiguous or malformed is refused.

The parser already refuses broken header lines, contradicting lengths, and a length beside a
`Transfer-Encoding` (RFC 9112, section 6.3). What it lets through and may not run is refused here.
"""

from __future__ import annotations

import re
import secrets
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote_to_bytes

from wasmind.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

Headers: TypeAlias = "Sequence[tuple[bytes, bytes]]"

VERSIONS = ("1.1", "1.0")

KNOWN = 256
"""How many paths, and hosts, are remembered: most requests are for few of them."""

_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?\Z").match
_ABSOLUTE = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?#]*)").match
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})").search
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f]").search
_DOTS = re.compile(r"/\.\.?(?:/|\Z)").search
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}\Z").match

_SINGLE = (b"host", b"content-length", b"content-type", b"transfer-encoding", b"x-request-id")
_PREFIX = secrets.token_hex(6).encode() + b"-%x"
_numbers = count(1)


class Head:
    """What was asked for. Header names are in lower case; `path` is decoded, `target` is as it was sent."""

    __slots__ = ("chunked", "headers", "host", "length", "method", "path", "query", "target", "version")

    def __init__(self, method: bytes, target: bytes, headers: Headers, version: str) -> None:
        """Check a request's head. Raises RequestError."""
        if version not in VERSIONS:
            raise RequestError(f"HTTP/{version} is not spoken here", remedy="use HTTP/1.1")
        found = dict(headers)
        if len(found) != len(headers):
            _refuse_repeated(headers)
        host = found.get(b"host", b"")
        if target[:1] != b"/":
            host, target = _absolute(target)
            headers = [(name, host if name == b"host" else value) for name, value in headers]
        if not _is_host(host) and (host or version == "1.1"):
            raise RequestError(
                "the request's Host header is missing or malformed",
                cause=f"Host: {host.decode('latin-1')!r}",
                remedy="send exactly one Host header with a name or address and, if need be, a port",
            )
        coding, length = found.get(b"transfer-encoding"), found.get(b"content-length")
        if coding is not None and (length is not None or version == "1.0" or coding.lower() != b"chunked"):
            raise RequestError(
                "the request's framing is ambiguous",
                cause=f"Transfer-Encoding: {coding.decode('latin-1')!r}, Content-Length: {length!r}",
                remedy="send either a Content-Length or, in HTTP/1.1, `Transfer-Encoding: chunked`",
            )
        self.method = method.decode("ascii")
        self.headers = headers
        self.version = version
        self.host = host
        self.target = target
        raw, _, self.query = target.partition(b"?")
        self.path = _path(raw)
        self.chunked = coding is not None
        self.length = int(length) if length is not None else 0


def request_id(sent: bytes) -> bytes:
    """The client's `x-request-id` if harmless (1 to 128 letters, digits, `._~:/+=@-`), else a fresh one."""
    return sent if sent and _REQUEST_ID(sent) is not None else _PREFIX % next(_numbers)


@lru_cache(KNOWN)
def _is_host(host: bytes) -> bool:
    return _HOST(host) is not None


def _absolute(target: bytes) -> tuple[bytes, bytes]:
    """Host and path of an absolute-form target, whose host overrules the header (RFC 9112, 3.2.2)."""
    found = _ABSOLUTE(target)
    if found is None:
        raise RequestError("the request's target is no path", remedy="send a target that begins with a slash")
    rest = target[found.end() :]
    return found[1], rest if rest[:1] == b"/" else b"/" + rest


@lru_cache(KNOWN)
def _path(raw: bytes) -> str:
    """Decode a target's path. Raises RequestError."""
    try:
        if b"%" not in raw:
            path = raw.decode("ascii")
        elif _BAD_ESCAPE(raw) is None:
            path = unquote_to_bytes(raw).decode("utf-8")
        else:
            path = "\0"
    except UnicodeDecodeError:
        path = "\0"
    if _UNPRINTABLE(path) is not None or b"#" in raw:
        raise RequestError(
            "the request's path is malformed",
            cause="it has a broken percent escape, a control character, a fragment, or is no UTF-8",
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
