"""The processes that convert for models that are served elsewhere: what each is started with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wasmind.config import Card
from wasmind.nn.signature import Signature
from wasmind.worker.spec import Conversions, WorkerSpec

if TYPE_CHECKING:
    from wasmind.catalog.model import ModelRecord
    from wasmind.config import Model
    from wasmind.nn.signature import TensorSpec
    from wasmind.node.plan import ModelPlan
    from wasmind.worker.spec import Side

_ONE_ITEM = frozenset(("image", "text", "add_batch"))
"""Steps after which an input is one row of a batch."""


def conversions_of(record: ModelRecord) -> Conversions | None:
    """What a worker converts for a model; None: nothing."""
    settings = record.config
    if not settings.inputs and not settings.outputs:
        return None
    found = Conversions(inputs=settings.inputs, outputs=settings.outputs)
    return msgspec.structs.replace(found, labels=record.labels) if "top_k" in found.kinds else found


def converters_of(record: ModelRecord) -> tuple[WorkerSpec, ...]:
    """The processes that convert for a model elsewhere; none for most."""
    declared = conversions_of(record)
    if declared is None:
        return ()
    sides: tuple[tuple[Side, Conversions], ...] = (
        ("inputs", Conversions(inputs=declared.inputs)),
        ("outputs", Conversions(outputs=declared.outputs, labels=declared.labels)),
    )
    return tuple(_spec(record, side, steps) for side, steps in sides if steps.inputs or steps.outputs)


def _spec(record: ModelRecord, side: Side, conversions: Conversions) -> WorkerSpec:
    settings = record.config
    return WorkerSpec(
        name=f"{record.title}@{side}",
        files=record.tokenizers if side == "inputs" else (),
        encoding=side,
        runtime="convert",
        instances=settings.instances,
        memory=int(settings.memory),
        run_limit_ms=settings.deadline_ms,
        load_timeout_ms=settings.load_timeout_ms,
        warm_up=False,
        conversions=conversions,
        confinement=settings.confinement,
    )


def side_of(spec: WorkerSpec) -> Side:
    """What a converter converts."""
    return "inputs" if spec.encoding == "inputs" else "outputs"


def converter(plan: ModelPlan, spec: WorkerSpec, served: Signature | None) -> ModelPlan:
    """One converter of a model; `served` is what the model's servers take and give.

    It does not leave to make room: what servers do for seconds would wait for it.
    """
    if served is not None and side_of(spec) == "outputs":
        served = _of_one_item(served, plan.settings)
    when_down = "fail" if plan.yields else plan.settings.when_down
    return msgspec.structs.replace(
        plan,
        id=f"{plan.id}.{side_of(spec)}",
        name=spec.name,
        spec=msgspec.structs.replace(spec, declared=served),
        settings=msgspec.structs.replace(
            plan.settings, path=None, source=None, pin=True, when_down=when_down
        ),
        labels=(),
        card=Card(),
        alternative=None,
        signature=None,
        version=None,
        names=(),
    )


def seen(served: Signature, inputs: Signature | None, outputs: Signature | None) -> Signature:
    """What functions see of a model whose converters have these signatures."""
    return Signature((inputs or served).inputs, (outputs or served).outputs)


def _of_one_item(served: Signature, settings: Model) -> Signature:
    """The signature as it is for functions that send one item at a time, which the batch then has.

    A model here says by a symbol that rows go through it; a server says -1. Only what becomes JSON differs by
    it: one list, or a list of them.
    """
    steps = [step for one in settings.inputs.values() for step in one.steps]
    batches = any(spec.dims is not None and spec.dims[:1] == (None,) for spec in served.inputs)
    if not batches or not any(_ONE_ITEM.intersection(step.kinds) for step in steps):
        return served
    told = {name for name, one in settings.outputs.items() if any(step.top_k for step in one.steps)}
    outputs = (_of_one_row(spec) if spec.name in told else spec for spec in served.outputs)
    return Signature(served.inputs, tuple(outputs))


def _of_one_row(spec: TensorSpec) -> TensorSpec:
    if spec.dims is None or spec.dims[:1] != (None,):
        return spec
    return msgspec.structs.replace(spec, dims=(1, *spec.dims[1:]))
