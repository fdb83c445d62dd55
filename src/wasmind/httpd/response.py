"""The response to one request, written to its connection: head, framing, and waiting for a slow client."""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus
from time import time
from typing import TYPE_CHECKING

from wasmind.errors import RequestError, WasmindError
from wasmind.httpd.problems import problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Protocol

    from wasmind.httpd.head import Headers

    class Writer(Protocol):
        """The connection that a response goes to."""

        closing: bool
        """Whether it ends with its current response."""

        def write(self, data: bytes) -> Awaitable[None] | None:
            """Send; what it returns is to be awaited before more is sent."""


_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_OURS = frozenset((b"server", b"x-request-id"))
_BODILESS = frozenset((204, 304))


class Response:
    """A `cgi.Response`. The head is kept until the first part of the body, so that both leave together."""

    __slots__ = (
        "_chunked",
        "_head",
        "_silent",
        "_version",
        "_writer",
        "complete",
        "identity",
        "keep_alive",
        "status",
        "timing",
    )

    def __init__(
        self, writer: Writer, identity: bytes, *, method: bytes, version: str, keep_alive: bool
    ) -> None:
        """`identity` is the request's id; `keep_alive`: the connection may serve another request after it."""
        self._writer = writer
        self._version = version
        self._silent = method == b"HEAD"
        self._head = b""
        self._chunked = False
        self.identity = identity
        self.keep_alive = keep_alive
        self.status = 0
        """What the client was told; 0 before that."""
        self.complete = False
        """Whether all of it was given to the connection."""
        self.timing: Callable[[], bytes] | None = None
        """Gives the value of `Server-Timing`, where that is told."""

    def start(self, status: int, headers: Headers) -> None:
        """Begin with a status and headers, whose names are in lower case and whose values are checked."""
        self.status = status
        lines = [_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
        framed = False
        for name, value in headers:
            if name == b"content-length":
                framed = True
            elif name in _OURS:
                continue
            lines += (name, b": ", value, b"\r\n")
        if status in _BODILESS:
            self._silent = True
        elif not framed and not self._silent:
            if self._version == "1.1":
                self._chunked = True
                lines.append(b"transfer-encoding: chunked\r\n")
            else:
                self.keep_alive = False  # the end of the connection is the end of the body
        if self._writer.closing:
            self.keep_alive = False
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        elif self._version == "1.0":
            lines.append(b"connection: keep-alive\r\n")
        if self.timing is not None:
            lines.append(b"server-timing: %b\r\n" % self.timing())
        lines += (b"server: wasmind\r\nx-request-id: ", self.identity, b"\r\n", _date(), b"\r\n")
        self._head = b"".join(lines)

    def body(self, chunk: bytes, more: bool, trailers: Headers = ()) -> Awaitable[None] | None:
        """Send a part; what it returns is to be awaited before the next. The last call has `more` False.

        Its `trailers` are sent if the body is chunked, and dropped otherwise.
        """
        data, self._head = self._head, b""
        if not self._silent:
            if not self._chunked:
                data += chunk
            elif chunk:
                data = b"%b%x\r\n%b\r\n" % (data, len(chunk), chunk)
            if self._chunked and not more:
                data += b"0\r\n%b\r\n" % b"".join([b"%b: %b\r\n" % trailer for trailer in trailers])
        self.complete = not more
        return self._writer.write(data) if data else None

    def problem(self, error: WasmindError, *, dev: bool, allow: str | None = None) -> None:
        """Answer with `error`; nothing was sent yet.

        After a request that is malformed nothing else is read from its connection.
        """
        self.keep_alive = self.keep_alive and error.status != RequestError.status
        headers, document = problem(error, self.identity, dev=dev)
        if allow is not None:
            headers.append((b"allow", allow.encode()))
        headers.append((b"content-length", b"%d" % len(document)))
        self.start(error.status, headers)
        self.body(document, more=False)

    @property
    def delimited(self) -> bool:
        """Whether a client can tell that a response was cut from one that is complete."""
        return self._version == "1.1" or self._silent


class _Date:
    """The `Date` header of this second."""

    __slots__ = ("_line", "_second")

    def __init__(self) -> None:
        self._second = -1
        self._line = b""

    def __call__(self) -> bytes:
        second = int(time())
        if second != self._second:
            self._second = second
            self._line = f"date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self._line


_date = _Date()
