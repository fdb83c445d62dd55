"""A named model on one or several servers elsewhere, as a backend."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Literal, NoReturn

from wasmind.backends.leases import PrivateLease
from wasmind.backends.oip.hedging import Budget
from wasmind.backends.oip.rest import Named
from wasmind.backends.oip.server import Answer, Server
from wasmind.backends.oip.transport import NotSent
from wasmind.backends.race import Why, race
from wasmind.errors import (
    ConfigError,
    ModelUnavailable,
    NnError,
    PackageMissing,
    RuntimeFailed,
    UnsupportedOperation,
)
from wasmind.nn.signature import Signature
from wasmind.nn.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from wasmind.telemetry.elsewhere import RemoteMeter

METADATA_S = 5.0
"""How long a server has to describe its model."""
ATTEMPTS = 3
"""How often a request is tried that could not be sent, where the model's policy is not to wait."""

_PAUSES_S = 0.02, 1.0
"""Before the second attempt, and before any further one at most; each waits twice as long, with jitter."""


class RemoteOutputs:
    """Outputs that live in this process."""

    __slots__ = ("compute_ns", "queue_ns", "tensors")

    def __init__(self, tensors: tuple[Tensor, ...], queue_ns: int, compute_ns: int) -> None:
        self.tensors = tensors
        self.queue_ns = queue_ns
        """Time it waited here for its turn, attempts that failed included."""
        self.compute_ns = compute_ns
        """Time from sending it to the answer: the protocol does not tell the framework's own."""

    def release(self) -> None:
        """Nothing is lent."""


class OipBackend:
    """Sends each inference to the server with the fewest under way; those that keep failing are left alone.

    While no server can be reached, calls are tried again until their deadline (`when_down = "wait"`), or fail
    (`"fail"`). Used from one event loop.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], Sequence[Server]],
        signature: Signature | None = None,
        *,
        when_down: Literal["wait", "fail"] = "wait",
        hedge_ms: float | None = None,
        meter: RemoteMeter | None = None,
    ) -> None:
        """`connect` is called once, when the servers are first needed.

        An inference that has no answer after `hedge_ms` is sent a second time, and the first answer is taken.
        """
        self.name = name
        self._connect = connect
        self._known: tuple[Server, ...] | None = None
        self._signature = signature
        self._when_down = when_down
        self._hedge_s = None if hedge_ms is None else hedge_ms / 1000
        self._budget = Budget()
        self._meter = meter
        self._refusal: str | None = None

    # --- nn.Backend -------------------------------------------------------------------------------------

    @property
    def signature(self) -> Signature:
        """The model's signature, once a server has told it."""
        if self._signature is None:
            raise self._unavailable("none of its servers has described it yet")
        return self._signature

    def lease(self, size: int) -> PrivateLease:
        """Private memory for an input."""
        return PrivateLease(size)

    def generation(self) -> NoReturn:
        """Refused: the protocol gives all outputs at once. Raises UnsupportedOperation."""
        raise UnsupportedOperation(
            f"the model {self.name!r} gives its outputs at once", remedy="call compute instead"
        )

    async def infer(self, inputs: tuple[Tensor, ...], deadline: float, tenant: str) -> RemoteOutputs:
        """Run once; see `nn.Backend.infer`. Tried again only if nothing of the request was sent."""
        if self._refusal is not None:
            raise self._unavailable(self._refusal)
        signature = self.signature
        named = [(spec.name, tensor) for spec, tensor in zip(signature.inputs, inputs, strict=True)]
        names = [spec.name for spec in signature.outputs]
        began, attempt = monotonic(), 0
        while True:
            try:
                answer = await self._send(named, names, deadline)
            except NotSent:
                attempt += 1
                pause = self._pause(attempt, deadline)
                if pause is None:
                    raise
                await asyncio.sleep(pause)
                if self._meter is not None:
                    self._meter.retries.value += 1
            else:
                waited = round((monotonic() - began) * 1e9) - answer.server_ns
                return RemoteOutputs(self._ordered(answer, signature), waited, answer.server_ns)

    # --- its life ---------------------------------------------------------------------------------------

    async def refresh(self) -> Signature:
        """Ask the servers for the signature, one after another. Raises what the last of them raised."""
        last: NnError = ModelUnavailable(f"{self.name!r} has no server")
        for server in self._servers:
            try:
                self._signature = await server.transport.signature(METADATA_S)
            except NnError as error:
                last = error
            else:
                return self._signature
        raise last

    def describes(self, signature: Signature) -> bool:
        """Whether this is the signature that inferences go by."""
        return self._signature == signature

    def suspend(self, reason: str) -> None:
        """The model does not come back by itself: calls fail with these words, until `resume`."""
        self._refusal = reason

    def resume(self, signature: Signature) -> None:
        """The model is served, and this is what it takes and gives now."""
        self._refusal = None
        self._signature = signature

    async def close(self) -> None:
        """Close the connections to all servers."""
        self.suspend("the model was removed")
        servers, self._known = self._known or (), ()
        for server in servers:
            await server.transport.close()

    # --- calls ------------------------------------------------------------------------------------------

    @property
    def _servers(self) -> tuple[Server, ...]:
        if self._known is None:
            try:
                self._known = tuple(self._connect())
            except (ConfigError, PackageMissing) as error:
                raise ModelUnavailable(error.message, cause=error.cause, remedy=error.remedy) from error
        return self._known

    def _send(self, named: list[Named], names: list[str], deadline: float) -> Coroutine[Any, Any, Answer]:
        """To the server that is chosen now, and to another if its answer is late. Raises NotSent."""
        first = self._choose()
        if self._hedge_s is None:
            return first.infer(named, names, deadline)
        return self._hedged(first, self._hedge_s, named, names, deadline)

    async def _hedged(
        self, first: Server, after: float, named: list[Named], names: list[str], deadline: float
    ) -> Answer:
        def again(_: Why) -> Coroutine[Any, Any, Answer] | None:
            second = self._other(first)
            if second is None or not self._budget.take():
                return None
            if self._meter is not None:
                self._meter.hedges.value += 1
            return second.infer(named, names, deadline)

        self._budget.earn()
        answer, hedged = await race(first.infer(named, names, deadline), again, after=after)
        if self._meter is not None:
            self._meter.hedges_won.value += hedged is not None
        return answer

    def _other(self, first: Server) -> Server | None:
        """The server that a hedged request goes to: another if there is one that is well, else the same."""
        well = [server for server in self._servers if server.breaker.ready() and not server.full]
        others = [server for server in well if server is not first]
        return min(others or well, key=lambda server: server.outstanding, default=None)

    def _choose(self) -> Server:
        """The server for the next request. Raises NotSent when all of them are left alone."""
        ready = [server for server in self._servers if server.breaker.ready()]
        if not ready:
            wait = min((server.breaker.remaining for server in self._servers), default=0.0)
            raise NotSent(
                f"every server of {self.name!r} fails",
                cause=f"all {len(self._servers)} are left alone after repeated failures",
                remedy=f"the next attempt is made in {wait:.1f} s; look at those servers meanwhile",
            )
        if len(ready) == 1:
            return ready[0]
        return min(ready, key=lambda server: (server.full, server.outstanding, random.random()))  # noqa: S311

    def _pause(self, attempt: int, deadline: float) -> float | None:
        """Seconds before another attempt, with jitter; None if there is to be none."""
        first, longest = _PAUSES_S
        pause = min(first * 2 ** min(attempt - 1, 20), longest) * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
        hopeless = attempt >= ATTEMPTS or not any(server.breaker.ready() for server in self._servers)
        late = asyncio.get_running_loop().time() + pause >= deadline
        return None if late or (self._when_down == "fail" and hopeless) else pause

    def _ordered(self, answer: Answer, signature: Signature) -> tuple[Tensor, ...]:
        found = dict(answer.outputs)
        tensors = []
        for spec in signature.outputs:
            tensor = found.get(spec.name)
            if tensor is None or tensor.type is not spec.type:
                raise RuntimeFailed(
                    f"the answer of {self.name!r} has {tensor or 'nothing'} as {spec.name!r}, not {spec}",
                    cause="the server no longer serves the model that its metadata described",
                )
            tensors.append(tensor)
        return tuple(tensors)

    def _unavailable(self, why: str) -> ModelUnavailable:
        return ModelUnavailable(f"the model {self.name!r} is unavailable", cause=why)
