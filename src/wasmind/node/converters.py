"""The processes that convert for models that are served elsewhere: what each is started with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wasmind.nn.signature import Signature
from wasmind.node.plan import ModelPlan, RemoteSpec
from wasmind.worker.spec import Conversions, WorkerSpec

if TYPE_CHECKING:
    from wasmind.nn.signature import TensorSpec
    from wasmind.worker.spec import Side

_ONE_ITEM = frozenset(("image", "text", "add_batch"))
"""Steps after which an input is one row of a batch."""


def sides(plan: ModelPlan) -> tuple[Side, ...]:
    """What of a model is converted here; nothing of most."""
    assert isinstance(plan.spec, RemoteSpec)
    declared = plan.spec.conversions or Conversions()
    found: tuple[tuple[Side, object], ...] = (("inputs", declared.inputs), ("outputs", declared.outputs))
    return tuple(side for side, steps in found if steps)


def converter(plan: ModelPlan, side: Side, served: Signature | None) -> ModelPlan:
    """The process that converts one side of a model; `served` is what its servers take and give.

    It does not leave to make room: what servers do for seconds would wait for it.
    """
    assert isinstance(plan.spec, RemoteSpec)
    assert plan.spec.conversions is not None
    settings, declared = plan.settings, plan.spec.conversions
    spec = WorkerSpec(
        name=f"{plan.title}@{side}",
        files=plan.spec.tokenizers if side == "inputs" else (),
        encoding=side,
        runtime="convert",
        declared=served if side == "inputs" or served is None else _of_one_item(served, declared),
        instances=settings.instances,
        memory=int(settings.memory),
        run_limit_ms=settings.deadline_ms,
        load_timeout_ms=settings.load_timeout_ms,
        warm_up=False,
        conversions=Conversions(inputs=declared.inputs)
        if side == "inputs"
        else Conversions(outputs=declared.outputs, labels=declared.labels),
        confinement=settings.confinement,
    )
    when_down = "fail" if plan.yields else settings.when_down
    return ModelPlan(
        id=f"{plan.id}.{side}",
        name=spec.name,
        scope=plan.scope,
        digest=plan.digest,
        spec=spec,
        settings=msgspec.structs.replace(settings, path=None, source=None, pin=True, when_down=when_down),
        attempts=plan.attempts,
    )


def seen(served: Signature, inputs: Signature | None, outputs: Signature | None) -> Signature:
    """What functions see of a model whose converters have these signatures."""
    return Signature((inputs or served).inputs, (outputs or served).outputs)


def _of_one_item(served: Signature, declared: Conversions) -> Signature:
    """The signature as it is for functions that send one item at a time, which the batch then has.

    A model here says by a symbol that rows go through it; a server says -1. Only what becomes JSON differs by
    it: one list, or a list of them.
    """
    steps = [step for one in declared.inputs.values() for step in one.steps]
    batches = any(spec.dims is not None and spec.dims[:1] == (None,) for spec in served.inputs)
    if not batches or not any(_ONE_ITEM.intersection(step.kinds) for step in steps):
        return served
    told = {name for name, one in declared.outputs.items() if any(step.top_k for step in one.steps)}
    outputs = (_of_one_row(spec) if spec.name in told else spec for spec in served.outputs)
    return Signature(served.inputs, tuple(outputs))


def _of_one_row(spec: TensorSpec) -> TensorSpec:
    if spec.dims is None or spec.dims[:1] != (None,):
        return spec
    return msgspec.structs.replace(spec, dims=(1, *spec.dims[1:]))
