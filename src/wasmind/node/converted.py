"""A model that is served elsewhere and converted here: its servers, and a process before and after them.

The processes are told what the servers take and give once a server has described it, and again when that
changes. To everybody else this is one model, which is as well as the worst of its parts.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from wasmind.node.converters import converter, seen, side_of
from wasmind.node.messages import Converting
from wasmind.node.remote import RemoteModel
from wasmind.node.status import ConverterStatus
from wasmind.node.watched import watched
from wasmind.node.words import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.errors import WasmindError
    from wasmind.nn.signature import Signature
    from wasmind.node.messages import ModelEntry
    from wasmind.node.models import ProcessModel, ServedModel
    from wasmind.node.plan import ModelPlan, RemoteSpec
    from wasmind.node.status import ModelStatus
    from wasmind.telemetry.logs import Logger
    from wasmind.worker.spec import Ready, WorkerSpec

_WORST_FIRST: tuple[State, ...] = ("quarantined", "failed", "away", "restarting", "loading", "ready")


class Converter:
    """The process for one side of a model. It starts when it is told what the servers say."""

    def __init__(self, spec: WorkerSpec, process: ProcessModel) -> None:
        """`process` is not started."""
        self.spec = spec
        self.side = side_of(spec)
        self.process = process
        self.told: Signature | None = None
        """What it was started with."""

    @property
    def signature(self) -> Signature | None:
        """What it takes and gives."""
        return self.process.entry.signature

    async def tell(self, plan: ModelPlan, served: Signature) -> None:
        """Start it, or start it anew, with what the model's servers say."""
        if self.told is not None:
            await self.process.unload("its servers tell of other tensors than before", on_use=False)
        self.told = served
        self.process.plan = converter(plan, self.spec, served)
        self.process.entry = msgspec.structs.replace(self.process.entry, signature=None)
        self.process.start()

    def status(self) -> ConverterStatus:
        """How it is."""
        found = self.process.status(())
        return ConverterStatus(
            side=self.side,
            state=found.state,
            reason=found.reason,
            pid=found.pid,
            restarts=found.restarts,
            memory=found.memory,
        )


class ConvertedModel:
    """One model of a node that is served elsewhere and has conversions (a `ServedModel`)."""

    def __init__(
        self,
        plan: ModelPlan,
        spec: RemoteSpec,
        make: Callable[[ModelPlan, Callable[[ProcessModel], None]], ProcessModel],
        changed: Callable[[ConvertedModel], None],
        logger: Logger,
    ) -> None:
        """`make` gives a process, not started; `changed` hears of every change of `entry`."""
        self.plan = plan
        self.report: Ready | None = None
        self.used = 0.0
        self.converters = [
            Converter(one, make(converter(plan, one, None), self._part_changed)) for one in spec.converters
        ]
        self._remote = RemoteModel(_as_served(plan), spec.kserve, self._part_changed, logger)
        self._changed = changed
        self._telling: asyncio.Task[None] | None = None
        self._stopping = False
        self._settled = asyncio.Event()
        self.entry = self._composed()

    def adopt(self, plan: ModelPlan) -> None:
        """Take over a newer plan of the same model."""
        self.plan = plan
        self._remote.adopt(_as_served(plan))
        for one in self.converters:
            one.process.adopt(converter(plan, one.spec, one.told))
        self.entry = self._composed()

    @property
    def failure(self) -> WasmindError | None:
        """Why a part of it was given up or is being restarted."""
        return next((part.failure for part in self._parts if part.failure is not None), None)

    @property
    def given_up(self) -> bool:
        """Whether only a reload starts it again."""
        return any(part.given_up for part in self._parts)

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self.entry.state == "stopped"

    def want(self, tenant: str) -> None:
        """Nothing is to be loaded here."""

    def rest(self) -> None:
        """Its servers are looked after all the same."""
        self.start()

    async def unload(self, reason: str, *, on_use: bool = True) -> None:
        """Refused: it is its servers' to unload. Raises UnsupportedOperation."""
        await self._remote.unload(reason, on_use=on_use)

    def start(self, tenant: str | None = None) -> None:
        """Look after its servers, and keep its processes running, until `stop` or until it is given up."""
        self._settled.clear()
        revived = [one for one in self.converters if one.process.given_up]
        if not revived or self._remote.given_up:
            self._remote.start(tenant)
        for one in revived:
            one.process.start(tenant)

    async def settled(self) -> None:
        """Wait until it serves, or could not at first."""
        await self._settled.wait()

    async def stop(self) -> None:
        """Ask its servers no more, and end its processes."""
        self._stopping = True
        if self._telling is not None:
            self._telling.cancel()
            with suppress(asyncio.CancelledError):
                await self._telling
        await asyncio.gather(*(part.stop() for part in self._parts))
        self.entry = msgspec.structs.replace(self.entry, state="stopped", reason="the model was removed")
        self._changed(self)
        self._settled.set()

    def status(self, functions: tuple[str, ...]) -> ModelStatus:
        """How it is, its processes included; `functions` are those that may name it."""
        found = tuple(one.status() for one in self.converters)
        return msgspec.structs.replace(
            self._remote.status(functions),
            state=self.entry.state,
            reason=self.entry.reason,
            signature=self.entry.signature,
            restarts=sum(one.restarts for one in found),
            memory=sum(one.memory or 0 for one in found) or None,
            converters=found,
        )

    # --- its parts ------------------------------------------------------------------------------------------

    @property
    def _parts(self) -> tuple[ServedModel, ...]:
        return (self._remote, *(one.process for one in self.converters))

    def _part_changed(self, _: ServedModel) -> None:
        """Tell how the whole is now, and its processes what its servers say."""
        if self._stopping:
            return
        served = self._remote.entry.signature
        stale = served is not None and any(one.told != served for one in self.converters)
        if stale and (self._telling is None or self._telling.done()):
            self._telling = watched(self._tell())
        entry = self._composed()
        if entry != self.entry:
            self.entry = entry
            self._changed(self)
        if entry.state != "loading":
            self._settled.set()

    async def _tell(self) -> None:
        for one in self.converters:
            while (served := self._remote.entry.signature) is not None and one.told != served:
                await one.tell(self.plan, served)

    def _composed(self) -> ModelEntry:
        """The entry of the whole."""
        worst = min(self._parts, key=lambda part: _rank(part.entry.state))
        signature, state, reason = self._signature(), worst.entry.state, worst.entry.reason
        if reason is not None and worst is not self._remote:
            reason = f"{worst.entry.name}: {reason}"
        if state == "ready" and signature is None:
            state, reason = "loading", "its servers tell of other tensors than before"
        entries = {one.side: one.process.entry for one in self.converters}
        return msgspec.structs.replace(
            self._remote.entry,
            converting=Converting(served=self._remote.entry.signature, **entries),
            signature=signature,
            state=state if state in _WORST_FIRST else "loading",
            reason=reason,
            retry_at=worst.entry.retry_at,
        )

    def _signature(self) -> Signature | None:
        """What functions see, once all processes have told it."""
        served = self._remote.entry.signature
        if served is None or any(one.told != served or one.signature is None for one in self.converters):
            return None
        found = {one.side: one.signature for one in self.converters}
        return seen(served, found.get("inputs"), found.get("outputs"))


def _rank(state: State) -> int:
    return _WORST_FIRST.index(state if state in _WORST_FIRST else "loading")


def _as_served(plan: ModelPlan) -> ModelPlan:
    """The plan without what was learned of the model as functions see it."""
    return msgspec.structs.replace(plan, signature=None)
