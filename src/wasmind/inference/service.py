"""What both ports share: who calls, within which limits, on which models, and what is counted of it."""

from __future__ import annotations

import asyncio
from itertools import count
from time import monotonic, perf_counter_ns
from typing import TYPE_CHECKING

from wasmind.config import Limits
from wasmind.errors import (
    InvalidArgument,
    ModelBusy,
    ModelNotFound,
    ModelUnavailable,
    NnError,
    Overloaded,
    RequestError,
    TooLarge,
    WasmindError,
)
from wasmind.inference.callers import Caller, Callers
from wasmind.inference.statistics import ModelStatistics
from wasmind.nn.session import Session
from wasmind.node.messages import ManageModel
from wasmind.oip.inference import Inference, reference
from wasmind.telemetry.logs import failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.models.node import NodeModels
    from wasmind.node.messages import Managed, Snapshot
    from wasmind.oip.rest import Target
    from wasmind.telemetry.figures import OipFigures, OipMeter
    from wasmind.telemetry.logs import Logger

MANAGE_S = 150.0
"""How long loading a model may take until its caller is told that it takes longer."""
QUIET_S = 1.0
"""How often a failure of one kind is logged at most."""


class Service:
    """Made once per process."""

    def __init__(
        self,
        models: NodeModels,
        figures: OipFigures,
        logger: Logger,
        ask: Callable[[ManageModel], object],
        released: Callable[[int], object],
    ) -> None:
        """`ask` sends a question to the supervisor; `released` hears of generations that are done with."""
        self._models = models
        self._figures = figures
        self._logger = logger
        self._ask = ask
        self._released = released
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[Managed]] = {}
        self._quiet: dict[str, float] = {}
        self._older: list[Callers] = []
        self._meters: dict[tuple[str, str, str], OipMeter] = {}
        self._statistics: dict[tuple[str, str, str], ModelStatistics] = {}
        self.callers = Callers(0, None, models.served)
        self.limits = Limits()
        self.concurrency = 0
        self.running = self.ended = 0
        self.dev = False
        self.stopping = False
        """Whether what is under way is all that is still answered."""

    # --- the configuration --------------------------------------------------------------------------------

    def apply(self, snapshot: Snapshot) -> None:
        """Serve a newer snapshot; requests under way end on the one they began with."""
        self._models.apply(snapshot.models)
        entry = snapshot.inference
        self._older.append(self.callers)
        self.callers = Callers(snapshot.generation, entry, self._models.served)
        self.dev = snapshot.dev
        if entry is not None:
            self.concurrency = entry.concurrency
            self.limits = Limits(
                request_body=entry.request_body,  # type: ignore[arg-type] # a plain number of bytes
                body_stall_ms=entry.body_stall_ms,
                nn_memory=max(int(self.limits.nn_memory), 4 * entry.request_body),  # type: ignore[arg-type]
            )
        self._release()

    def _release(self) -> None:
        """Tell which generations no request runs on any more, and leave the models that only they had."""
        oldest = next((older for older in self._older if older.running), self.callers)
        done = [older for older in self._older if older.generation < oldest.generation]
        if done:
            self._older = [older for older in self._older if older not in done]
            if not self._older:
                self._models.keep(set())
            self._released(oldest.generation - 1)

    # --- requests -----------------------------------------------------------------------------------------

    def enter(self, authorization: str | None) -> Caller:
        """Begin a request of whoever shows this authorization; `leave` ends it.

        Raises TokenRefused, Overloaded; then nothing has begun.
        """
        caller = self.callers.of(authorization)
        if self.running >= self.concurrency:
            raise Overloaded(f"{self.running} requests are under way, which is all that may be")
        caller.enter()
        self.running += 1
        caller.among.running += 1
        return caller

    def leave(self, caller: Caller) -> None:
        """A request has ended."""
        callers = caller.among
        self.running -= 1
        caller.running -= 1
        callers.running -= 1
        if callers is not self.callers and not callers.running:
            self._release()

    def inference(self, caller: Caller) -> Inference:
        """A session for one request, with nothing in it yet."""
        return Inference(Session(caller, self.limits, caller.tenant), caller.version)

    def answered(
        self, caller: Caller, asked: Target, protocol: str, inference: Inference, began_ns: int
    ) -> None:
        """Count an inference that was answered."""
        ended_ns = perf_counter_ns()
        self._of(caller, asked).succeeded(inference, began_ns, ended_ns)
        self._meter(caller, asked, protocol).ended("success", (ended_ns - began_ns) / 1e9)
        self.ended += 1

    def failed(
        self, caller: Caller | None, asked: Target, protocol: str, error: BaseException, began_ns: int
    ) -> None:
        """Count an inference that was not, and log what is no mistake of its caller."""
        self.ended += 1
        outcome = _outcome(error)
        ns = perf_counter_ns() - began_ns
        if caller is None or not caller.knows(reference(asked.model, asked.version)):
            self._figures.requests.of(caller.tenant if caller else "", "", protocol, outcome).value += 1
            return
        self._of(caller, asked).failed(ns)
        self._meter(caller, asked, protocol).ended(outcome, ns / 1e9)
        if outcome in ("backend", "other", "rejected") and isinstance(error, WasmindError):
            self._log(caller, asked, error)

    def _meter(self, caller: Caller, asked: Target, protocol: str) -> OipMeter:
        key = (caller.tenant, asked.model, protocol)
        found = self._meters.get(key)
        if found is None:
            found = self._meters[key] = self._figures.meter(*key)
        return found

    def _of(self, caller: Caller, asked: Target) -> ModelStatistics:
        key = (caller.tenant, asked.model, caller.version(asked.model, asked.version))
        found = self._statistics.get(key)
        if found is None:
            found = self._statistics[key] = ModelStatistics()
        return found

    def _log(self, caller: Caller, asked: Target, error: WasmindError) -> None:
        now = monotonic()
        if now >= self._quiet.get(error.code, 0.0):
            self._quiet[error.code] = now + QUIET_S
            self._logger.warning(
                "inference failed", tenant=caller.tenant, model=asked.model, **failure(error)
            )

    # --- the repository -----------------------------------------------------------------------------------

    def index(self, caller: Caller, *, ready: bool = False) -> list[dict[str, str]]:
        """The models that a caller may name, each with its state; `ready`: those alone that serve."""
        return [
            {
                "name": named.name,
                "version": named.version,
                "state": _STATES.get(served.entry.state, "UNAVAILABLE"),
                "reason": "" if served.entry.state == "ready" else served.entry.state,
            }
            for named, served in caller.models()
            if not ready or served.entry.state == "ready"
        ]

    def is_ready(self, caller: Caller, asked: Target) -> bool:
        """Whether a model serves now, or is loaded as soon as it is used. Raises ModelNotFound."""
        entry = caller.find(reference(asked.model, asked.version)).entry
        return entry.state == "ready" or (entry.state == "unloaded" and entry.on_use)

    @property
    def ready(self) -> bool:
        """Whether requests should be sent here: callers are known, and the process does not stop.

        A model that does not serve is no reason to send those for other models elsewhere; each tells its own.
        """
        return self.callers.generation > 0 and not self.stopping

    def statistics(self, caller: Caller, model: str = "", version: str = "") -> list[dict[str, object]]:
        """What a caller's requests took, of one of its models or of all. Raises ModelNotFound."""
        if model:
            asked = caller.named(model, version)
            version = asked.version if version or model != asked.name else ""
            model = asked.name
        return [
            self._statistics.get((caller.tenant, named.name, named.version), ModelStatistics()).as_dict(
                named.name, named.version
            )
            for named, _ in caller.models()
            if model in ("", named.name) and version in ("", named.version)
        ]

    async def manage(self, caller: Caller, model: str, *, load: bool) -> None:
        """Have all versions of a model loaded or unloaded.

        Raises NotAllowed, ModelNotFound, and why it cannot be done.
        """
        caller.check_manages()
        for named in caller.all_of(model):
            await self._manage(named.id, load=load)

    async def _manage(self, id_: str, *, load: bool) -> None:
        number = next(self._numbers)
        asked = self._asked[number] = asyncio.get_running_loop().create_future()
        self._ask(ManageModel(request=number, model=id_, load=load))
        try:
            async with asyncio.timeout(MANAGE_S):
                answer = await asked
        except TimeoutError as error:
            raise ModelUnavailable("loading it takes longer; ask the repository's index later") from error
        finally:
            del self._asked[number]
        if answer.failure is not None:
            raise answer.failure.error()

    def told(self, answer: Managed) -> None:
        """The supervisor has done what was asked."""
        asked = self._asked.get(answer.request)
        if asked is not None and not asked.done():
            asked.set_result(answer)


_STATES = {"ready": "READY", "loading": "LOADING", "restarting": "LOADING"}
"""Ours in Triton's words; all others are UNAVAILABLE."""


def _outcome(error: BaseException) -> str:
    match error:
        case asyncio.CancelledError():
            return "canceled"
        case ModelBusy() | ModelUnavailable() | Overloaded():
            return "rejected"
        case RequestError() | InvalidArgument() | ModelNotFound() | TooLarge():
            return "invalid"
        case NnError():
            return "backend"
    return "other"
