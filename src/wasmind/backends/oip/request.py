"""What a server is asked, packed once for either version of HTTP; only what differs is added each time."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from wasmind.httpd import frames

_ALWAYS = {"accept": "*/*", "accept-encoding": "identity"}


class Request:
    """A method and a path of a server."""

    __slots__ = ("_http1", "_http2")

    def __init__(self, method: str, url: str, path: str) -> None:
        """`path` is below that of `url`."""
        where = urlsplit(url)
        target = where.path.rstrip("/") + path
        head = {"host": where.netloc, **_ALWAYS}
        self._http1 = f"{method} {target} HTTP/1.1\r\n{_lines(head)}".encode()
        self._http2 = frames.request(method, where.scheme, where.netloc, target) + _block(_ALWAYS)

    def http1(self, headers: Mapping[str, str]) -> bytes:
        """The head of the request as HTTP/1.1 has it."""
        return b"%b%b\r\n" % (self._http1, _lines(headers).encode("ascii"))

    def http2(self, headers: Mapping[str, str]) -> bytes:
        """Its header block as HTTP/2 has it."""
        return self._http2 + _block(headers)


def _lines(headers: Mapping[str, str]) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


def _block(headers: Mapping[str, str]) -> bytes:
    return b"".join(
        [frames.literal(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
    )
