"""An HTTP request as the environment of a CGI program (RFC 3875, section 4.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from wasmind import __version__
from wasmind.errors import RequestError

SOFTWARE = b"SERVER_SOFTWARE=wasmind/" + __version__.encode()

_TOKEN = re.compile(rb"[a-z0-9!#$%&'*+.^`|~-]+\Z")
_NAMES_KEPT = 1024
"""How many header names the table below may hold: clients choose them."""

_prefixes: dict[bytes, bytes] = {b"content-type": b"CONTENT_TYPE=", b"content-length": b"CONTENT_LENGTH="}


class Request(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One request, as the edge has it after routing."""

    method: str
    script_name: str
    """The part of the path that the route matched, decoded, without its final `/*`: `/classify`."""
    path_info: str
    """The rest of the path, decoded: "" or `/cat/1`."""
    target: bytes
    """The path and query as they were sent, for REQUEST_URI."""
    query: bytes
    headers: Sequence[tuple[bytes, bytes]]
    """Names in lower case, as ASGI gives them."""
    client: tuple[str, int] | None = None
    server: tuple[str, int] = ("localhost", 80)
    http_version: str = "1.1"
    scheme: str = "http"

    @property
    def has_body(self) -> bool:
        """Whether the headers announce a body (RFC 9112, section 6.3)."""
        for name, value in self.headers:
            if name == b"content-length":
                return value != b"0"
            if name == b"transfer-encoding":
                return True
        return False


class Environment:
    """A function's configured environment and arguments, encoded once; `variables` adds what one request
    brings.

    Meta-variables win over configured variables of the same name, and configured ones over `HTTP_*` of the
    client.
    """

    __slots__ = ("_configured", "_names", "arguments")

    def __init__(self, env: Mapping[str, str], arguments: Sequence[str] = ()) -> None:
        self.arguments = [argument.encode() for argument in arguments]
        self._names = {name.encode() + b"=" for name in env}
        meta = {b"GATEWAY_INTERFACE=", b"SERVER_SOFTWARE=", *_META}
        encoded = {name.encode() + b"=": value.encode() for name, value in env.items()}
        self._configured = [
            SOFTWARE,
            b"GATEWAY_INTERFACE=CGI/1.1",
            *(name + value for name, value in encoded.items() if name not in meta),
        ]

    def variables(self, request: Request) -> list[bytes]:
        """All variables as `NAME=value`. Raises RequestError when a value cannot be one (it holds a NUL)."""
        client, server = request.client, request.server
        found = [
            *self._configured,
            b"REQUEST_METHOD=" + request.method.encode(),
            b"SCRIPT_NAME=" + request.script_name.encode("utf-8", "surrogateescape"),
            b"PATH_INFO=" + request.path_info.encode("utf-8", "surrogateescape"),
            b"QUERY_STRING=" + request.query,
            b"REQUEST_URI=" + request.target,
            b"REQUEST_SCHEME=" + request.scheme.encode(),
            b"SERVER_NAME=" + server[0].encode(),
            b"SERVER_PORT=%d" % server[1],
            b"SERVER_PROTOCOL=HTTP/" + request.http_version.encode(),
            b"REMOTE_ADDR=" + (client[0].encode() if client else b""),
            b"REMOTE_PORT=%d" % (client[1] if client else 0),
        ]
        if request.scheme == "https":
            found.append(b"HTTPS=on")
        found += self._headers(request.headers)
        if any(b"\0" in variable for variable in found):
            raise RequestError(
                "the request holds a NUL character", remedy="send none, neither as such nor as %00"
            )
        return found

    def _headers(self, headers: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        found: dict[bytes, bytes] = {}
        for name, value in headers:
            prefix = _prefixes.get(name)
            if prefix is None:
                prefix = _prefix(name)
            if not prefix or prefix in self._names:
                continue
            if prefix in found:  # RFC 3875, 4.1.18: one variable; RFC 6265, 5.4 for cookies
                found[prefix] += (b"; " if name == b"cookie" else b", ") + value
            else:
                found[prefix] = value
        return [prefix + value for prefix, value in found.items()]


_META = frozenset(
    name + b"="
    for name in (
        b"REQUEST_METHOD SCRIPT_NAME PATH_INFO QUERY_STRING REQUEST_URI REQUEST_SCHEME SERVER_NAME "
        b"SERVER_PORT SERVER_PROTOCOL REMOTE_ADDR REMOTE_PORT HTTPS CONTENT_TYPE CONTENT_LENGTH"
    ).split()
)


def _prefix(name: bytes) -> bytes:
    """`HTTP_NAME=` for a header, or b"" for one that no variable may carry.

    `Proxy` would become HTTP_PROXY, which client libraries obey (httpoxy, CVE-2016-5385); a name with an
    underscore would be taken for the one with a hyphen.
    """
    lower = name.lower()
    allowed = lower != b"proxy" and _TOKEN.match(lower)
    prefix = b"HTTP_" + lower.upper().replace(b"-", b"_") + b"=" if allowed else b""
    if len(_prefixes) < _NAMES_KEPT:
        _prefixes[name] = prefix
    return prefix
