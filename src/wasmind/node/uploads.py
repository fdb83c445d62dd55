"""Models that functions bring as bytes: one process per tenant and model, however many requests bring it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from wasmind.catalog.digests import Digests
from wasmind.catalog.model import read_model
from wasmind.config import Model
from wasmind.errors import ModelUnavailable, WasmindError
from wasmind.node.messages import LoadedModel, LoadModel
from wasmind.node.plan import plan_model
from wasmind.node.words import Failure

if TYPE_CHECKING:
    from wasmind.node.fleet import Fleet
    from wasmind.node.models import ServedModel

MODELS_PER_TENANT = 16
"""So many models that functions brought are kept for a tenant; one more ends the first of them."""


class Uploads:
    """What functions brought."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._digests = Digests()
        self._by_tenant: dict[str, dict[str, ServedModel]] = {}
        self._lock = asyncio.Lock()

    async def load(self, message: LoadModel) -> LoadedModel:
        """Have the model served, and answer once it is, or say why it is not."""
        try:
            async with self._lock:
                model = await self._served(message)
            await model.settled()
            if model.entry.state == "ready":
                return LoadedModel(request=message.request, model=model.entry)
            error = model.failure or ModelUnavailable("the model was stopped while it was loaded")
        except WasmindError as refused:
            error = refused
        return LoadedModel(request=message.request, failure=Failure.of(error))

    async def _served(self, message: LoadModel) -> ServedModel:
        settings = Model(
            path=Path(message.path), encoding=message.encoding, target=message.target, scope=message.tenant
        )
        record = await asyncio.to_thread(read_model, f"{message.digest[:16]}", settings, self._digests)
        plan = plan_model(record)
        known = self._by_tenant.setdefault(message.tenant, {})
        if plan.id not in known:
            while len(known) >= MODELS_PER_TENANT:
                oldest = next(iter(known))
                del known[oldest]
                await self._fleet.stop([oldest])
            self._fleet.start([plan])
            known[plan.id] = self._fleet.models[plan.id]
        return known[plan.id]
