"""A request's body on its way to the guest: bounded in size and time, held back while nobody reads it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from wasmind.errors import BodyTimeout, BodyTooLarge, RequestError

if TYPE_CHECKING:
    from typing import Protocol

    from wasmind.config import Limits
    from wasmind.httpd.head import Head, Headers

    class Flow(Protocol):
        """The connection that a body comes from."""

        def hold(self) -> None:
            """Read no further for now: enough is kept."""

        def flow(self) -> None:
            """Read on."""

        def invite(self) -> None:
            """Tell a client that waits for `100 Continue` to send its body."""


WINDOW = 64 << 10
"""Bytes kept of a body before its client has to wait."""


class RequestBody:
    """The body of one request: the connection puts in what comes, `receive` takes it out."""

    __slots__ = (
        "_error",
        "_flow",
        "_held",
        "_kept",
        "_parts",
        "_received",
        "_waiter",
        "discard",
        "ended",
        "limit",
        "stall_s",
        "trailers",
    )

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._parts: list[bytes] = []
        self._kept = 0
        self._received = 0
        self._held = False
        self._waiter: asyncio.Future[None] | None = None
        self._error: RequestError | None = None
        self.ended = False
        """Whether all of it has come."""
        self.discard = False
        """Whether what still comes is of no use to anybody."""
        self.limit = 0
        self.stall_s = 0.0
        self.trailers: Headers = ()
        """What came after it, names in lower case."""

    def allow(self, head: Head, limits: Limits) -> None:
        """Bound it by a function's limits. Raises BodyTooLarge when its announced length is over them."""
        self.limit, self.stall_s = limits.request_body, limits.body_stall_ms / 1000
        if head.length > self.limit:
            raise _too_large(head.length, self.limit)

    # --- for the connection --------------------------------------------------------------------------------

    @property
    def received(self) -> int:
        """Bytes that have come."""
        return self._received

    def put(self, data: bytes) -> None:
        """A part has come."""
        self._received += len(data)
        if self.discard:
            return
        self._parts.append(data)
        self._kept += len(data)
        if self._kept >= WINDOW and not self._held:
            self._held = True
            self._flow.hold()
        self._wake()

    def end(self) -> None:
        """All of it has come."""
        self.ended = True
        self._wake()

    def fail(self, error: RequestError) -> None:
        """No more will come, though it is not complete."""
        self._error = self._error or error
        self._wake()

    # --- for the guest -------------------------------------------------------------------------------------

    async def receive(self) -> bytes:
        """What has come, b"" at the end. Raises BodyTimeout, BodyTooLarge, RequestError if it breaks off."""
        if not self._parts and not self.ended and self._error is None:
            self._flow.invite()
            await self._more()
        if self._received > self.limit:
            raise _too_large(self._received, self.limit)
        if not self._parts:
            if self._error is not None and not self.ended:
                raise self._error
            return b""
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._kept = 0
        if self._held:
            self._held = False
            self._flow.flow()
        return data

    def drop(self) -> None:
        """Nobody reads it any more."""
        self.discard = True
        self._parts.clear()
        self._kept = 0
        if self._held:
            self._held = False
            self._flow.flow()

    async def _more(self) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(self.stall_s, self._stalled)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _stalled(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(
                BodyTimeout(
                    "the request's body stalled",
                    cause=f"no byte came for {self.stall_s:g} s, after {self._received} bytes",
                    remedy="send faster, or raise the function's limits.body_stall_ms",
                )
            )


class NoBody:
    """The body of a request that announces none; all such requests share one."""

    __slots__ = ()
    ended = True
    received = 0
    trailers: Headers = ()

    def allow(self, head: Head, limits: Limits) -> None:
        """Nothing is within every limit."""

    def put(self, data: bytes) -> None:
        """Never called: the parser gives a part only of what was announced."""

    def end(self) -> None:
        """It has ended from the beginning."""

    def fail(self, error: RequestError) -> None:
        """What is complete cannot break off."""

    async def receive(self) -> bytes:
        """The end."""
        return b""

    def drop(self) -> None:
        """There is nothing to drop."""


NO_BODY = NoBody()


def broken_off(received: int) -> RequestError:
    """What a reader gets when the client left before it sent all of its body."""
    return RequestError(
        "the request's body broke off",
        cause=f"the client closed the connection after {received} bytes",
        remedy="send as many bytes as Content-Length says, or a last chunk",
    )


def _too_large(size: int, limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        "the request's body is too large",
        cause=f"at least {size} bytes, and the function takes {limit}",
        remedy="send less, or raise the function's limits.request_body",
    )
