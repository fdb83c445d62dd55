"""A request's body, received when the guest asks for it, bounded in size and in time.

The server neither limits a body's size nor times a client that stalls; both are done here. The same stream
tells that the client left, so that a guest nobody waits for can be ended.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from wasmind.errors import BodyTimeout, BodyTooLarge, RequestError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wasmind.config import Limits
    from wasmind.edge.request import Head

TINY = 64
"""Bytes: a part smaller than this costs more to handle than it carries."""
TINY_FREE = 256
"""So many tiny parts a body may have at full speed; each one after them waits a millisecond."""


class RequestBody:
    """The body of one request. At most one part of it is held; reading no further makes the client wait."""

    __slots__ = (
        "_ended",
        "_gone",
        "_head",
        "_limits",
        "_loop",
        "_part",
        "_pending",
        "_receive",
        "_received",
        "_timer",
        "_tiny",
        "_waiter",
        "left",
    )

    def __init__(
        self,
        receive: Callable[[], Awaitable[dict[str, Any]]],
        head: Head,
        limits: Limits,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Raises BodyTooLarge when the announced length is over the limit already."""
        if head.length > limits.request_body:
            raise _too_large(head.length, limits.request_body)
        self._receive = receive
        self._head = head
        self._limits = limits
        self._loop = loop
        self._ended = not head.chunked and not head.length
        self._received = 0
        self._tiny = 0
        self._part: bytes | None = None
        self._pending: asyncio.Future[dict[str, Any]] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._gone: Callable[[], object] | None = None
        self.left = False
        """Whether the client left, or broke its body off."""

    def begin(self) -> None:
        """Ask for the first part now, so that it comes while the sandbox is made."""
        if self._pending is None and not self._ended:
            self._ask()

    async def receive(self) -> bytes:
        """The next part, b"" at the end. Raises BodyTimeout, BodyTooLarge, RequestError if it breaks off."""
        while self._part is None:
            if self._ended:
                return b""
            if self.left:
                raise _broken_off(self._received)
            if self._pending is None:
                self._ask()
            waiter = self._waiter = self._loop.create_future()
            stall = self._limits.body_stall_ms / 1000
            self._timer = self._loop.call_later(stall, self._stalled)
            try:
                await waiter
            finally:
                self._timer.cancel()
                self._waiter = None
        part, self._part = self._part, None
        if self._received > self._limits.request_body:
            raise _too_large(self._received, self._limits.request_body)
        if len(part) < TINY and not self._ended:
            self._tiny += 1
            if self._tiny > TINY_FREE:
                await asyncio.sleep(0.001)
        return part

    def watch(self, gone: Callable[[], object]) -> None:
        """Call `gone` as soon as the client leaves; one that owes body is seen to leave when it is read."""
        self._gone = gone
        if self.left:
            gone()
        elif self._pending is None and self._part is None:
            self._ask()

    def unwatch(self) -> None:
        """The answer is complete: that nothing more comes from the client means nothing now."""
        self._gone = None

    def close(self) -> None:
        """Stop receiving, at the request's end."""
        self._gone = None
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None

    def _ask(self) -> None:
        self._pending = asyncio.ensure_future(self._receive())
        self._pending.add_done_callback(self._came)

    def _came(self, pending: asyncio.Future[dict[str, Any]]) -> None:
        """One message came; called by the event loop."""
        if self._pending is not pending or pending.cancelled():
            return
        self._pending = None
        message = pending.result()
        if message["type"] != "http.request":
            self.left = True
            if self._gone is not None:
                self._gone()
        elif not self._ended:
            part: bytes = message["body"]
            self._received += len(part)
            self._ended = not message["more_body"] or (
                not self._head.chunked and self._received >= self._head.length
            )
            if part:
                self._part = part
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        elif self._gone is not None and self._part is None and not self.left:
            self._ask()

    def _stalled(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(
                BodyTimeout(
                    "the request's body stalled",
                    cause=f"no byte came for {self._limits.body_stall_ms:g} ms, after {self._received} bytes",
                    remedy="send faster, or raise the function's limits.body_stall_ms",
                )
            )


def _too_large(size: int, limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        "the request's body is too large",
        cause=f"at least {size} bytes, and the function takes {limit}",
        remedy="send less, or raise the function's limits.request_body",
    )


def _broken_off(received: int) -> RequestError:
    return RequestError(
        "the request's body broke off or is malformed",
        cause=f"after {received} bytes",
        remedy="send as many bytes as Content-Length says, or well-formed chunks",
    )
