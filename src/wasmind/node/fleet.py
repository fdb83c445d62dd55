"""All models of a node: those its configuration names, and those that functions brought as bytes."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING

from wasmind.errors import ModelNotFound, ModelUnavailable
from wasmind.node.messages import Stats, WantModel
from wasmind.node.models import ProcessModel, ServedModel
from wasmind.node.plan import RemoteSpec
from wasmind.node.residency import Residency

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from pathlib import Path

    from wasmind.node.figures import LoadFigures
    from wasmind.node.messages import ModelEntry
    from wasmind.node.plan import ModelPlan
    from wasmind.telemetry.logs import Logger


class Fleet:
    """Models by id: the same file with the same settings is the same process, also after a reload."""

    def __init__(
        self,
        run: Path,
        changed: Callable[[ServedModel], None],
        logger: Logger,
        figures: LoadFigures | None = None,
    ) -> None:
        """Sockets are made in `run`; `changed` hears of every change of a model's state."""
        self.residency = Residency(figures=figures)
        self._figures = figures
        self._run = run
        self._changed = changed
        self._logger = logger
        self._numbers = count()
        self.models: dict[str, ServedModel] = {}

    def start(self, plans: Iterable[ModelPlan], urgent: Collection[str] = ()) -> list[ServedModel]:
        """Have all of `plans` served, starting what is new and reviving what was given up; returns those.

        What is loaded on first use waits for that, unless it is `urgent`.
        """
        started = []
        for plan in plans:
            model = self.models.get(plan.id)
            idle = model is None or model.given_up or model.entry.state == "unloaded"
            if model is None:
                model = self.add(plan)
            if not idle:
                continue
            if plan.at_start or plan.id in urgent:
                model.start()
                started.append(model)
            else:
                model.rest()
        return started

    def heard(self, message: WantModel | Stats) -> None:
        """An edge worker tells which models are used."""
        if isinstance(message, Stats):
            for id_, used in message.used.items():
                if (model := self.models.get(id_)) is not None:
                    model.used = max(model.used, used)
        elif (model := self.models.get(message.id)) is not None:
            if self._figures and model.entry.state == "unloaded":
                self._figures.missed(model.plan)
            model.want(message.tenant)

    def find(self, name: str) -> ServedModel:
        """The model that `name`, `name@3`, `name:stable` or an id means. Raises ModelNotFound."""
        for model in self.models.values():
            if name == model.plan.id or name in model.plan.names:
                return model
        known = ", ".join(sorted(model.plan.title for model in self.models.values())) or "none"
        raise ModelNotFound(f"this node has no model {name!r}", cause=f"it has: {known}")

    async def load(self, name: str) -> None:
        """Have a model in memory. Raises ModelNotFound, and why it cannot be loaded."""
        model = self.find(name)
        if model.entry.state == "unloaded" or model.given_up:
            model.start()
        await model.settled()
        if model.entry.state != "ready":
            raise model.failure or ModelUnavailable(
                f"the model {name!r} is {model.entry.state}", cause=model.entry.reason
            )

    async def unload(self, name: str) -> None:
        """Take a model out of memory until `load`, or the node reloads. Raises ModelNotFound."""
        await self.find(name).unload("its operator unloaded it", on_use=False)

    def add(self, plan: ModelPlan) -> ServedModel:
        """A model that is not here yet, not started."""
        model: ServedModel
        if not isinstance(plan.spec, RemoteSpec):
            model = self._process(plan, self._changed)
        elif not plan.spec.converters:
            from wasmind.node.remote import RemoteModel

            model = RemoteModel(plan, plan.spec.kserve, self._changed, self._logger)
        else:
            from wasmind.node.converted import ConvertedModel

            model = ConvertedModel(plan, plan.spec, self._process, self._changed, self._logger)
        self.models[plan.id] = model
        return model

    def _process(self, plan: ModelPlan, changed: Callable[[ProcessModel], None]) -> ProcessModel:
        path = self._run / f"m{next(self._numbers)}"
        return ProcessModel(plan, path, changed, self._logger, self.residency)

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
