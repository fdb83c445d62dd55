"""One HTTP/1.1 connection to a server, by llhttp: one exchange at a time, and little kept while it waits.

General HTTP clients take longer for an exchange than a small inference, and more memory for each that waits.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import httptools

from wasmind.backends.oip.exchange import WORDS, Answer, BrokenOff, TooMuch, Unreachable

MAX_HEAD = 64 << 10
"""Bytes of an answer's status line and headers."""


class Connection(asyncio.Protocol):
    """Bytes out, an answer in. After a whole answer it may be used again if `reusable`."""

    __slots__ = (
        "_answer",
        "_chunks",
        "_ends_with_connection",
        "_most",
        "_parser",
        "_size",
        "_transport",
        "_waiter",
        "_whole",
        "idle_since",
        "reusable",
    )

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._answer = Answer()
        self._chunks: list[bytes] = []
        self._size = self._most = 0
        self._ends_with_connection = self._whole = False
        self.reusable = True
        """Whether another exchange may follow."""
        self.idle_since = 0.0
        """Loop time at which its last exchange ended."""

    async def exchange(self, head: bytes, body: bytes, most: int) -> Answer:
        """Send a request and wait for its answer, of at most `most` bytes.

        When this is cancelled the connection is closed: so a server hears that nobody waits any more.
        Raises Unreachable, BrokenOff, TooMuch.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            raise Unreachable("the server closed the connection before anything was sent")
        self._waiter = asyncio.get_running_loop().create_future()
        self._answer, self._most = Answer(), most
        self._ends_with_connection = self._whole = False
        try:
            if body:
                transport.writelines((head, body))
            else:
                transport.write(head)
            return await self._waiter
        finally:
            self._waiter = None
            if not self._whole:  # what still comes belongs to nobody
                self.close()

    def close(self) -> None:
        """Close it at once."""
        self.reusable = False
        self._chunks = []
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio.Protocol -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer came, or some that nobody asked for."""
        if self._waiter is None:
            self.close()
            return
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            self._fail(error.__context__ or error)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(BrokenOff(f"the answer is no HTTP/1.1: {error}"))

    def eof_received(self) -> None:
        """The server sends no more."""
        self.reusable = False
        if self._waiter is not None and self._ends_with_connection:
            self.on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._transport = None
        self._parser = None  # it and this know each other: parted, they are freed at once
        self.reusable = False
        self._fail(
            BrokenOff(str(exc) if exc else "the server closed the connection before its answer was complete")
        )

    # --- llhttp's callbacks -----------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """An answer, or an interim one, begins."""
        if self._waiter is None:
            raise BrokenOff("an answer came that nobody had asked for")
        self._answer.headers = {}
        self._size = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header line."""
        self._size += len(name) + len(value)
        if self._size > MAX_HEAD:
            raise BrokenOff(f"the answer's head has more than {MAX_HEAD} bytes")
        self._answer.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """The head is whole."""
        answer, self._size = self._answer, 0
        answer.status = self._parser.get_status_code()
        headers = answer.headers
        self._ends_with_connection = b"content-length" not in headers and b"transfer-encoding" not in headers
        if answer.status != 200:
            self._most = min(self._most, WORDS)
        if int(headers.get(b"content-length", b"0")) > self._most:
            self._exceeded()

    def on_body(self, chunk: bytes) -> None:
        """A part of the body."""
        self._size += len(chunk)
        if self._size > self._most:
            self._exceeded()
        self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        answer, waiter = self._answer, self._waiter
        if waiter is None or answer.status < 200:  # an interim answer; the real one follows
            return
        chunks, self._chunks = self._chunks, []
        answer.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if answer.status >= 500 or not self._parser.should_keep_alive():
            self.reusable = False  # servers that failed close theirs
        self._whole = True
        self._waiter = None
        if not waiter.done():
            waiter.set_result(answer)

    def _exceeded(self) -> None:
        """More came than was allowed. Of a refusal the first words are enough. Raises TooMuch."""
        answer, waiter = self._answer, self._waiter
        if answer.status == 200 or waiter is None:
            raise TooMuch
        answer.body = b"".join(self._chunks)
        self._chunks = []
        self._waiter = None
        if not waiter.done():
            waiter.set_result(answer)
        self.close()

    def _fail(self, error: BaseException) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        if self._transport is not None:
            self.close()
