"""One remote server as a backend sees it: a transport, a breaker, a bounded number of requests."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import perf_counter_ns
from typing import TYPE_CHECKING

from wasmind.backends.oip.breaker import Breaker
from wasmind.backends.oip.rest import Named
from wasmind.backends.oip.transport import NotSent, Transport
from wasmind.errors import InferenceTimeout, ModelBusy, ModelUnavailable

if TYPE_CHECKING:
    from wasmind.telemetry.elsewhere import ServerMeter

_SICK = (ModelUnavailable, InferenceTimeout)
"""What counts against a server. A refusal is an answer: it does not."""


class Answer:
    """What one inference gave."""

    __slots__ = ("outputs", "queue_ns", "server_ns")

    def __init__(self, outputs: list[Named], queue_ns: int, server_ns: int) -> None:
        self.outputs = outputs
        self.queue_ns = queue_ns
        """Time it waited for its turn."""
        self.server_ns = server_ns
        """Time from sending it to the answer."""


class Server:
    """`concurrency` requests run at once; `queue` more may wait for their turn."""

    def __init__(
        self,
        url: str,
        transport: Transport,
        breaker: Breaker,
        *,
        concurrency: int,
        queue: int,
        meter: ServerMeter | None = None,
    ) -> None:
        """`meter` counts what becomes of its requests."""
        self.url, self.transport, self.breaker = url, transport, breaker
        self._meter = meter
        self._turns = asyncio.Semaphore(concurrency)
        self._most = concurrency + queue
        self.outstanding = 0

    @property
    def full(self) -> bool:
        """Whether its queue is spent."""
        return self.outstanding >= self._most

    async def infer(self, inputs: Sequence[Named], outputs: Sequence[str], deadline: float) -> Answer:
        """Run once it is this request's turn. `deadline` is a loop time.

        Raises what the transport raises, ModelBusy when the queue is full, InferenceTimeout when the turn
        comes too late, and NotSent when the server has failed too often meanwhile.
        """
        if self.full:
            raise ModelBusy(
                f"{self.outstanding} inferences wait for {self.url}, which is all that may",
                remedy="try again later, raise `concurrency` or `queue`, or give the model more servers",
            )
        began = perf_counter_ns()
        self._count(1)
        try:
            await self._turn(deadline)
            try:
                started = perf_counter_ns()
                found = await self._observed(inputs, outputs, deadline)
            finally:
                self._turns.release()
        finally:
            self._count(-1)
        return Answer(found, started - began, perf_counter_ns() - started)

    async def _turn(self, deadline: float) -> None:
        if not self._turns.locked():
            await self._turns.acquire()
            return
        try:
            async with asyncio.timeout_at(deadline):
                await self._turns.acquire()
        except TimeoutError as error:
            raise InferenceTimeout(f"no turn at {self.url} came before the deadline") from error

    async def _observed(
        self, inputs: Sequence[Named], outputs: Sequence[str], deadline: float
    ) -> list[Named]:
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            raise InferenceTimeout(f"the turn at {self.url} came at the deadline")
        if not self.breaker.ready():
            raise NotSent(f"{self.url} fails", cause="it is left alone after repeated failures")
        breaker, outcome = self.breaker, "refused"
        probe = breaker.enter()
        try:
            answer = await self.transport.infer(inputs, outputs, left)
        except _SICK:
            breaker.failed(probe)
            outcome = "failed"
            raise
        except asyncio.CancelledError:
            breaker.abandoned(probe)
            outcome = "canceled"
            raise
        except BaseException:
            breaker.succeeded()
            raise
        else:
            breaker.succeeded()
            outcome = "success"
            return answer
        finally:
            if self._meter is not None:
                self._meter.ended(outcome)
                self._meter.open.value = breaker.is_open

    def _count(self, more: int) -> None:
        self.outstanding += more
        if self._meter is not None:
            self._meter.outstanding.value = self.outstanding
