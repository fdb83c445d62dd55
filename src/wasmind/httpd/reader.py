"""Bytes in, requests out: the reading side of a connection, around llhttp's parser.

A connection has a reader only while it reads a message: one takes two kilobytes, and thousands of connections
may wait for their guests. Then it is lent to whoever reads next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httptools

from wasmind.errors import HeadersTooLarge, RequestError
from wasmind.httpd.request import HttpRequest

if TYPE_CHECKING:
    from wasmind.httpd.connection import Connection

MAX_HEAD = 64 << 10
"""Bytes of a request's line and headers."""
MAX_HEADERS = 128
PIECES = 512
"""Parts of a body in one read of the socket; a client that sends more, and tiny ones, is slowed down."""
TINY = 64
"""Bytes: a part smaller than this costs more to handle than it carries."""
MOST_FREE = 64
"""Readers that wait to be lent."""

_FRAMING = frozenset((b"content-length", b"transfer-encoding"))
_NOTED = _FRAMING | {b"expect", b"x-request-id"}


class Reader:
    """Reads the messages of one connection, its `owner`."""

    __slots__ = (
        "_expects",
        "_has_body",
        "_headers",
        "_identity",
        "_in_head",
        "_parser",
        "_pieces",
        "_size",
        "_skip",
        "_target",
        "latest",
        "owner",
        "reusable",
    )

    def __init__(self) -> None:
        self.owner: Connection
        self.latest: HttpRequest | None = None
        """The request whose body still comes."""
        self.reusable = True
        """Whether another message may follow, by this one's framing; meant between two messages."""
        self._parser: Any = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._identity = b""
        self._size = self._pieces = 0
        self._in_head = self._has_body = self._expects = self._skip = False

    @property
    def identity(self) -> bytes:
        """The `x-request-id` of the message that is being read, if it came."""
        return self._identity

    @property
    def between(self) -> bool:
        """Whether no message is under way."""
        return self.latest is None and not self._in_head

    def close(self) -> None:
        """Read no more. It and its parser know each other: parted, they are freed at once."""
        del self._parser

    def feed(self, data: memoryview) -> bool:
        """Read on; gives each request to the owner's `came`. Whether too little came in too many parts.

        Raises RequestError for what is no request; nothing can be read any more then.
        """
        in_head, self._pieces = self._in_head, 0
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._take(error, data)
        if self._in_head:
            self._size = self._size + len(data) if in_head else 0
            if self._size > MAX_HEAD:
                raise _head_too_large()
        return self._pieces > PIECES and len(data) < self._pieces * TINY

    def _take(self, error: Exception, data: memoryview) -> None:
        """The parser stopped: for good, or since the client offered to change to another protocol.

        Then it goes on in HTTP/1.1. The parser stops before the body; a new one is told of its framing only.
        """
        if isinstance(error, httptools.HttpParserCallbackError):
            raise (error.__context__ or error) from None
        request = self.latest
        if not isinstance(error, httptools.HttpParserUpgrade) or request is None:
            raise RequestError("the request is malformed", cause=str(error)) from None
        framing = [b"%b: %b\r\n" % header for header in request.headers if header[0] in _FRAMING]
        if not request.response.keep_alive:
            framing.append(b"connection: close\r\n")
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(framing))
        self.feed(data[error.args[0] :])

    # --- what the parser calls -----------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A message begins."""
        self._in_head = True
        self._target = b""
        self._headers = []
        self._size = 0
        self._expects = self._has_body = False
        self._identity = b""

    def on_url(self, url: bytes) -> None:
        """A part of its target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; after the head, a trailer."""
        name = name.lower()
        if not self._in_head:
            self._trailer(name, value.rstrip(b" \t"))
            return
        if name in _NOTED:
            if name == b"expect":
                self._expects = True
            elif name == b"x-request-id":
                self._identity = value
            else:
                self._has_body = True
        self._headers.append((name, value.rstrip(b" \t")))
        if len(self._headers) > MAX_HEADERS:
            raise _head_too_large()

    def _trailer(self, name: bytes, value: bytes) -> None:
        if self.latest is None:
            return
        self._size += len(name) + len(value)
        trailers = self.latest.body.trailers
        if self._size > MAX_HEAD or len(trailers) >= MAX_HEADERS:
            raise _head_too_large()
        self.latest.body.trailers = [*trailers, (name, value)]

    def on_headers_complete(self) -> None:
        """Its head is complete: it can be served."""
        self._in_head = False
        self._size = 0
        if self._skip:
            self._skip = False
            return
        parser = self._parser
        keep_alive, self._skip = parser.should_keep_alive(), parser.should_upgrade()
        self.reusable = keep_alive and not self._skip
        request = HttpRequest(
            self.owner,
            parser.get_method(),
            self._target,
            self._headers,
            parser.get_http_version(),
            identity=self._identity,
            has_body=self._has_body,
            expects=self._expects,
            keep_alive=keep_alive,
        )
        self.owner.came(request)
        self.latest = request

    def on_body(self, body: bytes) -> None:
        """A part of its body."""
        self._pieces += 1
        if self.latest is not None:
            self.latest.body.put(body)

    def on_message_complete(self) -> None:
        """It has all come."""
        if self._skip:
            return  # the parser stops at an `Upgrade`; the body comes when it was made to go on
        if self.latest is not None:
            self.latest.body.end()
            self.latest = None


def _head_too_large() -> HeadersTooLarge:
    return HeadersTooLarge(
        "the request's head is too large",
        cause=f"it may have {MAX_HEAD} bytes and {MAX_HEADERS} headers",
        remedy="send fewer or smaller headers, or a body",
    )
