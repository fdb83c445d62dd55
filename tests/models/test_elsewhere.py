"""A model on servers elsewhere with conversions here, as an edge worker is told of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from wasmind.config import KServe
from wasmind.errors import ModelUnavailable
from wasmind.models.served import ServedModel
from wasmind.nn.graph import Graph
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import Tensor, TensorType
from wasmind.node.messages import Converting, ModelEntry
from wasmind.telemetry.figures import EdgeFigures
from wasmind.telemetry.metrics import Registry

SERVED = Signature((TensorSpec("x", TensorType.F32, (1,)),), (TensorSpec("y", TensorType.F32, (1,)),))
SEEN = Signature((TensorSpec("x", TensorType.U8, (1,)),), SERVED.outputs)
X = Tensor(TensorType.U8, (1,), b"\1")


def entry(name: str, signature: Signature | None, **more: Any) -> ModelEntry:
    settings: dict[str, Any] = {
        "socket": "/nowhere",
        "state": "ready",
        "deadline_ms": 200.0,
        "queue": 10,
        "shared_memory": 1 << 20,
        **more,
    }
    return ModelEntry(id=name, name=name, scope="shared", digest="0", signature=signature, **settings)


PART = entry("m@inputs", Signature(SEEN.inputs, SERVED.inputs), when_down="fail")
READY = entry(
    "m",
    SEEN,
    socket="",
    kserve=KServe(url="http://127.0.0.1:1", model="m"),
    converting=Converting(served=SERVED, inputs=PART),
    when_down="fail",
)


def served_model(told: ModelEntry) -> ServedModel:
    return ServedModel(told, EdgeFigures(Registry(Path("/nowhere"))).model(told.name, told.scope))


def changed(**changes: Any) -> ModelEntry:
    return msgspec.structs.replace(READY, **changes)


async def infer(graph: Graph) -> None:
    outputs = await graph.backend.infer((X,), asyncio.get_running_loop().time() + 1, "t")
    outputs.release()


async def test_functions_see_what_the_whole_takes_and_gives() -> None:
    served = served_model(changed(state="loading", signature=None, converting=Converting(inputs=PART)))
    coming = asyncio.ensure_future(served.ready())
    await asyncio.sleep(0)
    served.update(READY)
    assert (await coming).signature == SEEN
    await served.close()


async def test_a_part_that_is_given_up_says_why() -> None:
    served = served_model(READY)
    graph = served.resolve()
    assert isinstance(graph, Graph)
    part = msgspec.structs.replace(PART, state="quarantined", reason="it died ten times")
    served.update(
        changed(
            state="quarantined",
            reason="m@inputs: it died ten times",
            converting=Converting(served=SERVED, inputs=part),
        )
    )
    with pytest.raises(ModelUnavailable) as caught:
        await infer(graph)
    assert caught.value.cause == "it died ten times"
    with pytest.raises(ModelUnavailable) as caught:
        served.resolve()
    assert caught.value.cause == "m@inputs: it died ten times"
    await served.close()


async def test_another_signature_is_another_graph() -> None:
    served = served_model(READY)
    before = served.graph
    served.update(changed(reason="nothing that concerns it"))
    assert served.graph is before
    other = Signature(SEEN.inputs, (TensorSpec("y", TensorType.F64, (1,)),))
    served.update(changed(signature=other))
    assert served.graph is not before
    assert served.graph.signature == other
    await served.close()
