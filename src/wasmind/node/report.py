"""A node's status, put together from its parts."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

import msgspec

from wasmind.catalog.card import ModelCard, card_of
from wasmind.catalog.figures import Measured
from wasmind.node.status import FunctionStatus, ModelStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wasmind.catalog.figures import Figures
    from wasmind.catalog.function import FunctionRecord
    from wasmind.node.fleet import Fleet
    from wasmind.node.models import ServedModel
    from wasmind.node.plan import Plan
    from wasmind.worker.spec import Ready


def model_statuses(fleet: Fleet, plan: Plan | None) -> tuple[ModelStatus, ...]:
    """How each model is, those that functions brought included."""
    return tuple(model.status(plan.users(id_) if plan else ()) for id_, model in fleet.models.items())


def with_cards(fleet: Fleet, statuses: tuple[ModelStatus, ...], figures: Figures) -> tuple[ModelStatus, ...]:
    """The same with each model's card."""
    return tuple(
        msgspec.structs.replace(status, card=_card(fleet.models[status.id], status, figures))
        for status in statuses
    )


def measured(report: Ready) -> Measured:
    """What a process took, as its model's card tells it."""
    return Measured(
        runtime=report.runtime,
        load_ms=report.load_ms,
        warm_up_ms=report.warm_up_ms,
        run_ms=report.run_ms,
        memory=report.memory,
        at=time(),
    )


def _card(model: ServedModel, status: ModelStatus, figures: Figures) -> ModelCard:
    return card_of(
        model.plan.card,
        model.plan.settings,
        name=status.title,
        digest=status.digest,
        encoding=status.encoding,
        runtime=status.runtime,
        signature=status.signature,
        labels=model.plan.labels,
        figures=figures.of(status.digest),
    )


def function_statuses(plan: Plan | None) -> tuple[FunctionStatus, ...]:
    """What each function is."""
    return tuple(_function(function) for function in plan.functions) if plan else ()


def model_problems(fleet: Fleet, ids: Iterable[str]) -> tuple[str, ...]:
    """Which configured models do not serve, and why.

    A server elsewhere that is away is no fault of this node, and the same for all nodes: taking this one out
    of service would not help.
    """
    models = (fleet.models[id_] for id_ in ids if id_ in fleet.models)
    return tuple(
        f"the model {model.plan.title!r} is {model.entry.state}: {model.entry.reason}"
        for model in models
        if model.entry.state not in ("ready", "unloaded", "away")
    )


def _function(function: FunctionRecord) -> FunctionStatus:
    limits = msgspec.to_builtins(function.limits, enc_hook=int)
    return FunctionStatus(
        name=function.name,
        tenant=function.tenant,
        digest=function.digest,
        routes=function.routes,
        host=function.host,
        methods=function.methods,
        models=function.models,
        limits=limits,
        allow_load=function.allow_load,
    )
