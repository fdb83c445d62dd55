"""All models of a node: those its configuration names, and those that functions brought as bytes."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING

from wasmind.node.models import ProcessModel, ServedModel
from wasmind.node.plan import RemoteSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from wasmind.node.messages import ModelEntry
    from wasmind.node.plan import ModelPlan
    from wasmind.telemetry.logs import Logger


class Fleet:
    """Models by id: the same file with the same settings is the same process, also after a reload."""

    def __init__(self, run: Path, changed: Callable[[ServedModel], None], logger: Logger) -> None:
        """Sockets are made in `run`; `changed` hears of every change of a model's state."""
        self._run = run
        self._changed = changed
        self._logger = logger
        self._numbers = count()
        self.models: dict[str, ServedModel] = {}

    def start(self, plans: Iterable[ModelPlan]) -> list[ServedModel]:
        """Have all of `plans` served, starting what is new and reviving what was given up; returns those."""
        started = []
        for plan in plans:
            model = self.models.get(plan.id)
            if model is None:
                model = self.add(plan)
            elif not model.given_up:
                continue
            model.start()
            started.append(model)
        return started

    def add(self, plan: ModelPlan) -> ServedModel:
        """A model that is not here yet, not started."""
        model: ServedModel
        if isinstance(plan.spec, RemoteSpec):
            from wasmind.node.remote import RemoteModel

            model = RemoteModel(plan, plan.spec.kserve, self._changed, self._logger)
        else:
            path = self._run / f"m{next(self._numbers)}"
            model = ProcessModel(plan, path, self._changed, self._logger)
        self.models[plan.id] = model
        return model

    def adopt(self, plans: Iterable[ModelPlan]) -> None:
        """Treat models as these plans say from now on; all of them are here."""
        for plan in plans:
            self.models[plan.id].adopt(plan)

    def entries(self, ids: Iterable[str]) -> tuple[ModelEntry, ...]:
        """What edge workers are told of these models."""
        return tuple(self.models[id_].entry for id_ in ids)

    async def stop(self, ids: Iterable[str]) -> None:
        """End these models' processes."""
        leaving = [self.models.pop(id_) for id_ in list(ids) if id_ in self.models]
        await asyncio.gather(*(model.stop() for model in leaving))

    async def close(self) -> None:
        """End all."""
        await self.stop(self.models)
