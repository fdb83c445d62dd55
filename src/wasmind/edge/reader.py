"""Bytes in, requests out: the reading side of a connection, around llhttp's parser.

A connection has a reader only while it reads a message: one takes two kilobytes, and thousands of connections
may wait for their guests. Then it is lent to whoever reads next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httptools

from wasmind.edge.http_request import HttpRequest
from wasmind.errors import HeadersTooLarge, RequestError

if TYPE_CHECKING:
    from wasmind.edge.connection import Connection

MAX_HEAD = 64 << 10
"""Bytes of a request's line and headers."""
MAX_HEADERS = 128
PIECES = 512
"""Parts of a body in one read of the socket; a client that sends more, and tiny ones, is slowed down."""
TINY = 64
"""Bytes: a part smaller than this costs more to handle than it carries."""
MOST_FREE = 64

_FRAMING = frozenset((b"content-length", b"transfer-encoding"))
_BODY = _FRAMING | {b"expect"}


class Reader:
    """Reads the messages of one connection, its `owner`."""

    __slots__ = (
        "_expects",
        "_has_body",
        "_headers",
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

    def __init__(self, owner: Connection) -> None:
        self.owner = owner
        self.latest: HttpRequest | None = None
        """The request whose body still comes."""
        self.reusable = True
        """Whether another message may follow, by this one's framing; meant between two messages."""
        self._parser: Any = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._size = self._pieces = 0
        self._in_head = self._has_body = self._expects = self._skip = False

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of the message that is being read, as far as they came."""
        return self._headers

    @property
    def between(self) -> bool:
        """Whether no message is under way."""
        return self.latest is None and not self._in_head

    def feed(self, data: memoryview) -> bool:
        """Read on; gives each request to the owner's `came`. Whether too little came in too many parts.

        Raises RequestError for what is no request; nothing can be read any more then.
        """
        in_head, self._pieces = self._in_head, 0
        self._parse(data)
        if self._in_head:
            self._size = self._size + len(data) if in_head else 0
            if self._size > MAX_HEAD:
                raise _head_too_large()
        return self._pieces > PIECES and len(data) < self._pieces * TINY

    def _parse(self, data: memoryview | bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            raise (error.__context__ or error) from None
        except httptools.HttpParserError as error:
            raise RequestError("the request is malformed", cause=str(error)) from None

    def _decline(self, rest: memoryview | bytes) -> None:
        """Go on in HTTP/1.1 after a client offered to change to another protocol.

        The parser stops there, before the body; a new one is told of the body's framing only.
        """
        request = self.latest
        assert request is not None
        framing = [b"%b: %b\r\n" % header for header in request.headers if header[0] in _FRAMING]
        if not request.response.keep_alive:
            framing.append(b"connection: close\r\n")
        self._parser = httptools.HttpRequestParser(self)
        self._parse(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(framing))
        self._parse(rest)

    # --- what the parser calls -----------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A message begins."""
        self._in_head = True
        self._target = b""
        self._headers = []
        self._size = 0
        self._expects = self._has_body = False

    def on_url(self, url: bytes) -> None:
        """A part of its target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; after the head these are trailers, which nobody asked for."""
        if not self._in_head:
            return
        name = name.lower()
        if name in _BODY:
            if name == b"expect":
                self._expects = True
            else:
                self._has_body = True
        self._headers.append((name, value.rstrip(b" \t")))
        if len(self._headers) > MAX_HEADERS:
            raise _head_too_large()

    def on_headers_complete(self) -> None:
        """Its head is complete: it can be served."""
        self._in_head = False
        if self._skip:
            self._skip = False
            return
        parser = self._parser
        keep_alive, self._skip = parser.should_keep_alive(), parser.should_upgrade()
        self.reusable = keep_alive and not self._skip
        self.owner.check_turn()
        self.latest = HttpRequest(
            self.owner,
            parser.get_method(),
            self._target,
            self._headers,
            parser.get_http_version(),
            has_body=self._has_body,
            expects=self._expects,
            keep_alive=keep_alive,
        )
        self.owner.came(self.latest)

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


class Readers:
    """Lends readers to connections."""

    __slots__ = ("_free",)

    def __init__(self) -> None:
        self._free: list[Reader] = []

    def take(self, owner: Connection) -> Reader:
        """A reader at the beginning of a message."""
        if not self._free:
            return Reader(owner)
        reader = self._free.pop()
        reader.owner = owner
        return reader

    def give(self, reader: Reader) -> None:
        """Take back a reader that is between two messages and `reusable`."""
        if len(self._free) < MOST_FREE:
            self._free.append(reader)


def _head_too_large() -> HeadersTooLarge:
    return HeadersTooLarge(
        "the request's head is too large",
        cause=f"it may have {MAX_HEAD} bytes and {MAX_HEADERS} headers",
        remedy="send fewer or smaller headers, or a body",
    )
