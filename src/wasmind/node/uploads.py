"""Models that functions bring as bytes: one process per tenant and model, however many requests bring it.

Loading costs a process and a core for a while, so a tenant that cycles through models could take the node
from its neighbours. Each tenant may load so many, one at a time (`node.residency`).
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from wasmind.catalog.digests import Digests
from wasmind.catalog.model import read_model
from wasmind.config import NO_DEVICES, Model
from wasmind.errors import ModelBusy, ModelUnavailable, WasmindError
from wasmind.node.messages import LoadedModel, LoadModel
from wasmind.node.plan import plan_model
from wasmind.node.watched import watched
from wasmind.node.words import Failure

if TYPE_CHECKING:
    from wasmind.node.fleet import Fleet
    from wasmind.node.models import ServedModel

MODELS_PER_TENANT = 16
"""So many models that functions brought are kept for a tenant; one more ends the first of them."""
LOADS_AT_ONCE = 16
"""So many models a tenant may load in a row."""
SECONDS_PER_LOAD = 10.0
"""After that, one more in each such time."""


class LoadBudget:
    """How many models one tenant may load."""

    def __init__(self) -> None:
        self._left = float(LOADS_AT_ONCE)
        self._then = monotonic()

    def spend(self) -> None:
        """Count one load. Raises ModelBusy when the tenant has loaded too many."""
        now = monotonic()
        self._left = min(LOADS_AT_ONCE, self._left + (now - self._then) / SECONDS_PER_LOAD)
        self._then = now
        if self._left < 1:
            wait = (1 - self._left) * SECONDS_PER_LOAD
            raise ModelBusy(
                "this tenant's functions have loaded too many models",
                cause=f"they may load {LOADS_AT_ONCE} in a row, then one in {SECONDS_PER_LOAD:g} s",
                remedy=f"try again in {wait:.0f} s, or have the models named in the configuration",
            )
        self._left -= 1


class Uploads:
    """What functions brought."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.devices = NO_DEVICES
        """What a model for a GPU or a TPU has, as the newest configuration says."""
        self._digests = Digests()
        self._by_tenant: dict[str, dict[str, ServedModel]] = {}
        self._budgets: dict[str, LoadBudget] = {}

    async def load(self, message: LoadModel) -> LoadedModel:
        """Have the model served, and answer once it is, or say why it is not."""
        try:
            model = await self._served(message)
            if model.entry.state in ("ready", "unloaded"):
                return LoadedModel(request=message.request, model=model.entry)
            error = model.failure or ModelUnavailable("the model was stopped while it was loaded")
        except WasmindError as refused:
            error = refused
        return LoadedModel(request=message.request, failure=Failure.of(error))

    async def _served(self, message: LoadModel) -> ServedModel:
        """The model, loaded or given up."""
        settings = Model(
            path=Path(message.path), encoding=message.encoding, target=message.target, scope=message.tenant
        )
        record = await asyncio.to_thread(read_model, message.digest[:16], settings, self._digests)
        plan = plan_model(record, self.devices, attempts=1)
        known = self._by_tenant.setdefault(message.tenant, {})
        if plan.id not in known or known[plan.id].stopped:
            self._budgets.setdefault(message.tenant, LoadBudget()).spend()
            known[plan.id] = self._fleet.add(plan)
            self._end_oldest(known)
            known[plan.id].start(message.tenant)
        model = known[plan.id]
        await model.settled()
        return model

    def _end_oldest(self, known: dict[str, ServedModel]) -> None:
        while len(known) > MODELS_PER_TENANT:
            oldest = next(iter(known))
            del known[oldest]
            watched(self._fleet.stop([oldest]))
