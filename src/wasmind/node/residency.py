"""Which models are in memory: whose turn it is to load, and who leaves to make room.

Two kinds of load wait apart. What the operator asked for, and restarts: two for each core at once. What
functions cause by using a model that is not in memory: one for every two cores, and one of a tenant at a
time, so a tenant that cycles through models waits for itself.

With a budget, the least recently used model leaves, but whoever holds more than an equal share of the budget
makes room out of that share first, so nobody's cold models push out what others use.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from time import monotonic
from typing import TYPE_CHECKING

from wasmind.errors import ModelLoadFailed
from wasmind.node.watched import watched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wasmind.node.figures import LoadFigures
    from wasmind.node.models import ProcessModel

BASE = 48 << 20
"""Bytes that a process is taken to need beside its model's files, until one was measured."""


class Residency:
    """The processes of a node's models, held to a budget."""

    def __init__(self, budget: int | None = None, figures: LoadFigures | None = None) -> None:
        """`budget` is in bytes; None: no limit."""
        self.budget = budget
        self._figures = figures
        self._held: dict[str, int] = {}
        """Bytes by the ids of the models that are in memory or are loaded now."""
        self._models: dict[str, ProcessModel] = {}
        self._tenants: dict[str, str] = {}
        """For whom a model was loaded: a tenant, or "" for the operator."""
        self._measured: dict[str, int] = {}
        self._room = asyncio.Lock()
        cores = len(os.sched_getaffinity(0))
        self._own = asyncio.Semaphore(2 * cores)
        self._asked = asyncio.Semaphore(max(1, cores // 2))
        self._turns: dict[str, asyncio.Lock] = {}

    @property
    def used(self) -> int:
        """Bytes that models have, or are about to have."""
        return sum(self._held.values())

    @asynccontextmanager
    async def turn(self, model: ProcessModel, tenant: str | None) -> AsyncIterator[None]:
        """Load `model` within this: its turn has come, and there is room. None: the operator wants it.

        Raises ModelLoadFailed where there cannot be room. What the load raises counts as its failure.
        """
        turns: AbstractAsyncContextManager[object] = nullcontext()
        if tenant is not None:
            turns = self._turns.setdefault(tenant, asyncio.Lock())
        async with turns, self._own if tenant is None else self._asked:
            await self._make_room(model, tenant or "")
            began = monotonic()
            try:
                yield
            except BaseException as error:
                self.left(model)
                if self._figures and isinstance(error, Exception):
                    self._figures.failed(model.plan)
                raise
            if self._figures:
                self._figures.loaded(model.plan, monotonic() - began)

    def measured(self, model: ProcessModel, memory: int) -> None:
        """`model` is in memory and takes so many bytes."""
        id_ = model.plan.id
        if id_ in self._held:
            self._held[id_] = self._measured[id_] = memory
            if self.budget is not None and self.used > self.budget:
                watched(self.shrink())

    def left(self, model: ProcessModel) -> None:
        """`model` is not in memory any more."""
        id_ = model.plan.id
        self._held.pop(id_, None)
        self._models.pop(id_, None)
        self._tenants.pop(id_, None)

    async def shrink(self) -> None:
        """Unload models until the rest is within the budget."""
        async with self._room:
            while self.budget is not None and self.used > self.budget:
                victim = self._victim("", 0)
                if victim is None:
                    return
                await self._evict(victim)

    async def _make_room(self, model: ProcessModel, tenant: str) -> None:
        id_ = model.plan.id
        if id_ in self._held:  # a restart
            return
        needed = self._measured.get(id_) or BASE + model.plan.size
        async with self._room:
            while self.budget is not None and self.used + needed > self.budget:
                victim = self._victim(tenant, needed)
                if victim is None:
                    raise ModelLoadFailed(
                        f"there is no room for the model {model.plan.title!r}",
                        cause=f"it needs about {needed >> 20} MiB; {self.used >> 20} MiB of the budget of "
                        f"{self.budget >> 20} MiB are taken by models that do not leave",
                        remedy="raise model_memory in [node], or pin fewer models",
                    )
                await self._evict(victim)
            self._held[id_], self._models[id_], self._tenants[id_] = needed, model, tenant

    async def _evict(self, victim: ProcessModel) -> None:
        if self._figures:
            self._figures.evicted(victim.plan)
        # Shielded: who makes room may give up, but half an unloading is none.
        await asyncio.shield(watched(victim.unload("it left to make room, until it is used again")))

    def _victim(self, tenant: str, needed: int) -> ProcessModel | None:
        """The model to leave next, if `tenant` needs so many bytes more."""
        assert self.budget is not None
        idle = [model for model in self._models.values() if model.can_leave]
        held = {tenant: needed} if needed else {}
        for id_, size in self._held.items():
            held[self._tenants[id_]] = held.get(self._tenants[id_], 0) + size
        share = self.budget / max(1, len(held))
        own = [model for model in idle if self._tenants[model.plan.id] == tenant]
        over = [model for model in idle if held[self._tenants[model.plan.id]] > share]
        first = own if held.get(tenant, 0) > share and own else over
        return min(first or idle, key=lambda model: model.used, default=None)
