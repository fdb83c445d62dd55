"""What a CGI program writes to its stdout, sent to the client as an HTTP response.

A response that fits the window goes out whole at the end, with a Content-Length. A longer one is streamed,
and the guest waits while the client is slow. Whatever is kept goes out when the guest is about to wait for
something else, so that a stream of tokens reaches its reader token by token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Protocol

from wasmind.errors import MalformedResponse
from wasmind.guest_api.cgi import head
from wasmind.guest_api.cgi.head import Head
from wasmind.guest_api.stdio import seen

WINDOW = 64 << 10
"""Bytes kept before the guest has to wait for the client."""


class Response(Protocol):
    """Where a response goes; the edge implements it."""

    def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Begin with the head, names in lower case. Without `content-length` the server frames the body."""

    def body(
        self, chunk: bytes, more: bool, trailers: Sequence[tuple[bytes, bytes]] = ()
    ) -> Awaitable[None] | None:
        """Send a part; what it returns is to be awaited before the next. The last call has `more` False."""


class ResponseWriter:
    """A guest's stdout (a `stdio.Sink`)."""

    __slots__ = (
        "_closed",
        "_head",
        "_kept",
        "_method",
        "_response",
        "_sending",
        "_silent",
        "_size",
        "_written",
        "started",
        "terminal",
    )

    def __init__(self, response: Response, method: str = "GET") -> None:
        self._response = response
        self._method = method
        self._head: Head | None = None
        self._kept: list[bytes] = []
        self._size = 0
        self._written = 0
        self._silent = False
        self._sending: asyncio.Future[None] | None = None
        self._closed = False
        self.started = False
        """Whether the head is on its way: an error can no longer become a response of its own."""
        self.terminal = False

    @property
    def answered(self) -> bool:
        """Whether the guest wrote a whole head, so that there is something to send."""
        return self._head is not None

    def write(self, data: bytes) -> Awaitable[None] | None:
        """Keep or send what the guest wrote. Raises MalformedResponse, also when it is awaited."""
        if self._closed or not data:
            return None
        self._kept.append(data)
        self._size += len(data)
        if self._head is None:
            if not self._read_head():
                return None
        else:
            self._written += len(data)
        self._check()
        if self._size < WINDOW:
            return None
        return self._send(more=True) if self._sending is None else self._send_next(more=True)

    def flush(self) -> None:
        """Begin to send what is kept; the guest waits for something else meanwhile."""
        if self._head is None or not self._size:
            return
        if self._sending is not None:
            if not self._sending.done() or self._sending.cancelled() or self._sending.exception():
                return  # it is still under way, or the next one who waits is told that it failed
            self._sending = None
        slow = self._send(more=True)
        if slow is not None:
            self._sending = asyncio.ensure_future(slow)

    def close(self) -> Awaitable[None] | None:
        """The guest closed its stdout: the response ends here, the guest may go on."""
        return self.finish() if self._head is not None else None

    async def finish(self) -> None:
        """Send the rest. Raises MalformedResponse when there is no response, or less than it promised."""
        if self._closed:
            return
        if self._head is None:
            raise self._nothing()
        if self._head.length not in (None, self._written) and not self._silent:
            raise MalformedResponse(
                "the function's response is shorter than it promised",
                cause=f"Content-Length is {self._head.length}, and {self._written} bytes of body came",
                remedy="leave Content-Length out: it is added",
            )
        slow = self._send(more=False) if self._sending is None else self._send_next(more=False)
        if slow is not None:
            await slow

    def abandon(self) -> None:
        """Drop what is kept and stop sending, when the guest or its client is gone."""
        self._closed = True
        self._kept.clear()
        self._size = 0
        if self._sending is not None:
            self._sending.cancel()
            self._sending.add_done_callback(seen)
            self._sending = None

    def _read_head(self) -> bool:
        together = self._kept[0] if len(self._kept) == 1 else b"".join(self._kept)
        found = head.split(together)
        if found is None:
            self._kept = [together]
            return False
        lines, start = found
        self._head = read = head.parse(lines)
        self._silent = self._method == "HEAD" or read.bodiless
        self._kept = [together[start:]]
        self._size = self._written = len(together) - start
        return True

    def _check(self) -> None:
        """Hold what came against what the head promised; what is not sent is not kept either."""
        assert self._head is not None
        most = self._head.length
        if most is not None and self._written > most:
            raise MalformedResponse(
                "the function's response is longer than it promised",
                cause=f"Content-Length is {most}, and {self._written} bytes came",
                remedy="leave Content-Length out: it is added",
            )
        if self._silent:
            self._kept.clear()
            self._size = 0

    async def _send_next(self, *, more: bool) -> None:
        """Send once what is under way has been taken."""
        if self._sending is not None:
            sending, self._sending = self._sending, None
            await sending
        slow = self._send(more=more)
        if slow is not None:
            await slow

    def _send(self, *, more: bool) -> Awaitable[None] | None:
        """Hand over what is kept, head first; what it returns is to be awaited before more is sent."""
        assert self._head is not None
        chunk = self._kept[0] if len(self._kept) == 1 else b"".join(self._kept)
        self._kept, self._size = [], 0
        self._closed = not more
        if not self.started:
            self.started = True
            headers: Sequence[tuple[bytes, bytes]] = self._head.headers
            if not more and self._head.length is None and not self._head.bodiless:
                headers = [*headers, (b"content-length", b"%d" % self._written)]
            self._response.start(self._head.status, headers)
        return self._response.body(chunk, more) if chunk or not more else None

    def _nothing(self) -> MalformedResponse:
        if not self._size:
            return MalformedResponse(
                "the function ended without a response",
                cause="it wrote nothing to its stdout",
                remedy="write header lines, an empty line and the body to stdout",
            )
        return MalformedResponse(
            "the function ended inside the head of its response",
            cause="no empty line ends the header lines",
            remedy="write an empty line between headers and body",
        )
