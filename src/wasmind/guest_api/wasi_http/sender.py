"""The guest's response on its way to the client.

A response that is complete when the guest lets the loop run is sent whole, with a Content-Length. A longer
one is streamed: what was written goes out when the guest flushes, fills the window or ends the body.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from wasmind.component.abi.values import Err
from wasmind.errors import MalformedResponse
from wasmind.guest_api.cgi.response import Response
from wasmind.guest_api.stdio import seen
from wasmind.guest_api.wasi_http.bodies import ErrorCode
from wasmind.guest_api.wasi_http.messages import OutgoingResponse

_BODILESS = frozenset((204, 304))


class Sender:
    """Takes the guest's answer, and sends it."""

    __slots__ = (
        "_answer",
        "_answered",
        "_headers",
        "_method",
        "_response",
        "_task",
        "_timer",
        "sent",
        "started",
    )

    def __init__(
        self,
        response: Response,
        method: str,
        answered: Callable[[], object] | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        """`answered` is called when all was sent before the guest has ended; `headers` are the request's."""
        self._response = response
        self._method = method
        self._headers = headers
        self._answered = answered or _nobody
        self._answer: OutgoingResponse | Err[ErrorCode] | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.Handle | None = None
        self.started = False
        """Whether the head is on its way: an error can no longer become a response of its own."""
        self.sent = False
        """Whether all of it was sent."""

    @property
    def complete(self) -> bool:
        """Whether the guest has given all of its response."""
        return isinstance(self._answer, OutgoingResponse) and self._answer.pipe.complete

    def answered(self, answer: OutgoingResponse | Err[ErrorCode]) -> None:
        """The guest set its response, or an error in place of one."""
        self._answer = answer
        if isinstance(answer, OutgoingResponse):
            if not answer.taken:
                answer.pipe.finish()
            answer.pipe.on_wake(self._wake)

    def pass_on(self) -> None:
        """The guest is about to wait: what it has written so far is sent meanwhile."""
        if isinstance(self._answer, OutgoingResponse) and self._answer.pipe.size:
            self._wake()

    def _wake(self) -> None:
        """Send when the guest has let the loop run: by then there may be more, or all."""
        if self._timer is None and self._task is None:
            self._timer = asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._task = asyncio.ensure_future(self._pump())

    async def finish(self) -> None:
        """Send the rest; the guest has ended. Raises MalformedResponse, and what the connection raises."""
        self._answered = _nobody
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            await self._task
        answer = self._answer
        if answer is None or isinstance(answer, Err):
            raise _no_response(answer)
        if not self.sent and answer.pipe.complete:
            await self._send()
        if not self.sent:
            raise MalformedResponse(
                "the function ended without completing its response",
                cause="its outgoing-body was not finished, or is not as long as its content-length",
                remedy="call outgoing-body.finish when the body is written",
            )

    def abandon(self) -> None:
        """Stop sending: the guest failed, or its client is gone."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            self._task.add_done_callback(seen)
        answer, self._answer = self._answer, None  # it knows us, and should be freed at once
        if isinstance(answer, OutgoingResponse):
            answer.pipe.abandon()

    async def _pump(self) -> None:
        """Send what there is while the guest runs; a guest that goes on writing is told when that fails."""
        try:
            await self._send()
        except Exception as error:
            if isinstance(self._answer, OutgoingResponse):
                self._answer.pipe.abandon(error)
            raise
        if self.sent:
            self._answered()

    async def _send(self) -> None:
        """Send what there is."""
        answer = self._answer
        assert isinstance(answer, OutgoingResponse)
        pipe = answer.pipe
        silent = self._method == "HEAD" or answer.status in _BODILESS
        while not self.sent and (pipe.size or pipe.ended or not self.started):
            chunk = pipe.take()
            complete = pipe.complete
            trailers = self._trailers(answer) if complete and answer.trailers is not None else ()
            if not self.started:
                self.started = True
                headers = answer.headers.wire()
                if complete and pipe.length is None and not silent and not trailers:
                    headers.append((b"content-length", b"%d" % len(chunk)))
                self._response.start(answer.status, headers)
            if pipe.ended and not complete:
                break
            if complete or (chunk and not silent):
                self.sent = complete
                part = b"" if silent else chunk
                last = (part, not complete, trailers) if trailers else (part, not complete)
                slow = self._response.body(*last)
                if slow is not None:
                    await slow
        self._task = None

    def _trailers(self, answer: OutgoingResponse) -> Sequence[tuple[bytes, bytes]]:
        """What is sent after the body: trailers, to a client that takes some (RFC 9110, section 6.5.1)."""
        asked = b",".join([value for name, value in self._headers if name == b"te"]).lower()
        if answer.trailers is None or b"trailers" not in [word.strip() for word in asked.split(b",")]:
            return ()
        return [each for each in answer.trailers.wire() if each[0] != b"content-length"]


def _nobody() -> None:
    """Nobody has to hear that the response was sent."""


def _no_response(answer: Err[ErrorCode] | None) -> MalformedResponse:
    if answer is None:
        return MalformedResponse(
            "the function ended without a response",
            cause="it did not call response-outparam.set",
            remedy="set a response on every path through the handler",
        )
    code = answer.value if isinstance(answer.value, str) else f"{answer.value[0]} {answer.value[1]}"
    return MalformedResponse("the function answered with an error", cause=f"its error-code is {code}")
