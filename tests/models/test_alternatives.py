"""Two models under one name: which does an inference, and what guests see of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.backend import HeldLease, HeldOutputs, OnnxBackend
from support.onnx_models import FLOAT, constant, linear, model, node
from wasmind.config import KServe, Limits
from wasmind.errors import (
    InferenceTimeout,
    ModelBusy,
    ModelDied,
    ModelUnavailable,
    NnError,
    RuntimeFailed,
)
from wasmind.models.alternatives import Alternatives
from wasmind.models.served import ServedModel
from wasmind.nn.graph import Graph
from wasmind.nn.session import Session
from wasmind.nn.signature import Signature
from wasmind.nn.tensor import Tensor, TensorType
from wasmind.node.messages import Alternative, ModelEntry
from wasmind.telemetry.figures import EdgeFigures
from wasmind.telemetry.metrics import Registry, merged

X = Tensor(TensorType.F32, (1, 4), np.float32([1, 2, 3, 4]).tobytes())


def tripled(name: str = "x", out: str = "y", dims: tuple[int | str, ...] = (1, 4)) -> bytes:
    """y = 3x: a model whose answers tell it from `linear`."""
    return model(
        [node("Mul", [name, "three"], [out])],
        [(name, FLOAT, dims)],
        [(out, FLOAT, dims)],
        [constant("three", FLOAT, [1], [3.0])],
    )


class Switched:
    """A real backend that fails or is slow when a test says so."""

    def __init__(self, data: bytes) -> None:
        self.real = OnnxBackend(data)
        self.error: Exception | None = None
        self.inputs: list[tuple[Tensor, ...]] = []

    @property
    def signature(self) -> Signature:
        return self.real.signature

    def lease(self, size: int) -> HeldLease:
        return self.real.lease(size)

    async def infer(self, inputs: tuple[Tensor, ...], deadline: float, tenant: str) -> HeldOutputs:
        self.inputs.append(inputs)
        if self.error is not None:
            raise self.error
        return await self.real.infer(inputs, deadline, tenant)


class Pair:
    """Two models and the alternative of them."""

    def __init__(self, directory: Path, first: bytes, other: bytes, how: Alternative) -> None:
        self.directory = directory
        self.registry = Registry(directory)
        self.figures = EdgeFigures(self.registry)
        self.backends = Switched(first), Switched(other)
        kserve = KServe(url="http://h", model="m") if how.prefer else None
        self.served = (
            self._served("large", self.backends[0], when_down="fail"),
            self._served("small", self.backends[1], kserve=kserve),
        )
        meter = self.figures.elsewhere.alternative("large", "shared", "small")
        self.model = Alternatives(*self.served, how, meter)

    def _served(self, name: str, backend: Switched, **more: Any) -> ServedModel:
        entry = ModelEntry(
            id=name,
            name=name,
            scope="shared",
            digest="0",
            socket="/nowhere",
            state="ready",
            signature=backend.signature,
            deadline_ms=5000.0,
            queue=10,
            shared_memory=1 << 20,
            **more,
        )
        served = ServedModel(entry, self.figures.model(name, "shared"))
        served.graph = Graph(name, backend)
        return served

    def become(self, position: int, state: str, **more: Any) -> None:
        served = self.served[position]
        graph = served.graph
        served.update(msgspec.structs.replace(served.entry, state=state, **more))
        served.graph = graph

    async def graph(self) -> Graph:
        found = self.model.resolve()
        return found if isinstance(found, Graph) else await found

    async def infer(self, tensor: Tensor = X) -> tuple[list[float], str | None]:
        """The answer, and who stood in."""
        graph = await self.graph()
        deadline = asyncio.get_running_loop().time() + 5
        outputs = await graph.backend.infer((tensor,), deadline, "t")
        values = np.frombuffer(outputs.tensors[0].data, "<f4").tolist()
        outputs.release()
        return values, getattr(outputs, "stand_in", None)

    def counted(self, name: str, **labels: str) -> float:
        self.registry.close()
        for family in text_string_to_metric_families(merged(self.directory).decode()):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return sample.value
        return 0.0

    @property
    def held(self) -> int:
        return sum(backend.real.held for backend in self.backends)


LINEAR = [3.0, 5.0, 7.0, 9.0]
TRIPLED = [3.0, 6.0, 9.0, 12.0]
STANDS_IN = Alternative(id="small")
Make = Callable[..., Pair]


@pytest.fixture
def pair(tmp_path: Path) -> Make:
    def make(how: Alternative = STANDS_IN, first: bytes | None = None, other: bytes | None = None) -> Pair:
        return Pair(tmp_path, first or linear(), other or tripled(), how)

    return make


# --- a stand-in ---------------------------------------------------------------------------------------------


async def test_the_model_itself_answers_while_it_is_well(pair: Make) -> None:
    two = pair()
    assert await two.infer() == (LINEAR, None)
    assert two.backends[1].inputs == []
    assert two.held == 0


@pytest.mark.parametrize("error", [ModelUnavailable, ModelBusy, ModelDied, InferenceTimeout])
async def test_another_stands_in_when_it_is_down(pair: Make, error: type[NnError]) -> None:
    two = pair()
    two.backends[0].error = error("down")
    assert await two.infer() == (TRIPLED, "large by small")
    assert two.counted("wasmind_stand_ins_total", model="large", by="small", reason="down") == 1
    two.backends[0].error = None
    assert await two.infer() == (LINEAR, None)
    assert two.held == 0


async def test_a_failure_of_the_framework_is_an_answer(pair: Make) -> None:
    two = pair()
    two.backends[0].error = RuntimeFailed("its own words")
    with pytest.raises(RuntimeFailed, match="own words"):
        await two.infer()
    assert two.backends[1].inputs == []


async def test_a_model_that_is_known_to_be_away_is_not_asked(pair: Make) -> None:
    two = pair()
    two.become(0, "away", reason="nobody listens")
    assert await two.infer() == (TRIPLED, "large by small")
    assert two.backends[0].inputs == []


async def test_another_stands_in_when_it_is_late(pair: Make) -> None:
    two = pair(Alternative(id="small", after_ms=20))
    two.backends[0].real.delay = 5
    assert await two.infer() == (TRIPLED, "large by small")
    assert two.backends[0].real.cancelled == 1
    assert two.counted("wasmind_stand_ins_total", reason="late") == 1
    assert two.held == 0


async def test_an_answer_that_is_only_a_little_late_is_still_taken(pair: Make) -> None:
    two = pair(Alternative(id="small", after_ms=10))
    two.backends[0].real.delay, two.backends[1].real.delay = 0.1, 5
    assert await two.infer() == (LINEAR, None)
    assert two.backends[1].real.cancelled == 1
    assert two.held == 0


async def test_nobody_stands_in_for_a_late_one_while_the_other_is_down(pair: Make) -> None:
    two = pair(Alternative(id="small", after_ms=10))
    two.become(1, "quarantined", reason="it died too often")
    two.backends[0].real.delay = 0.1
    assert await two.infer() == (LINEAR, None)


async def test_when_both_are_down_both_are_told(pair: Make) -> None:
    two = pair()
    two.backends[0].error = ModelUnavailable("the large one broke off", cause="a cable")
    two.backends[1].error = ModelBusy("the small one is full")
    with pytest.raises(ModelUnavailable, match="broke off") as raised:
        await two.infer()
    assert raised.value.cause is not None
    assert "a cable" in raised.value.cause
    assert "the small one is full" in raised.value.cause


async def test_when_both_are_known_to_be_down_there_is_no_graph(pair: Make) -> None:
    two = pair()
    two.become(0, "away", reason="nobody listens")
    two.become(1, "failed", reason="damaged")
    with pytest.raises(ModelUnavailable) as raised:
        two.model.resolve()
    assert raised.value.cause == "nobody listens"


async def test_tensors_are_matched(pair: Make) -> None:
    two = pair(other=tripled("data", "scores", ("N", "C")))
    two.backends[0].error = ModelUnavailable("down")
    graph = await two.graph()
    assert [spec.name for spec in graph.signature.inputs] == ["x"]
    assert await two.infer() == (TRIPLED, "large by small")


async def test_a_model_that_does_not_fit_is_told(pair: Make) -> None:
    two = pair(other=tripled(dims=(1, 5)))
    assert await two.infer() == (LINEAR, None)
    two.backends[0].error = ModelUnavailable("down")
    with pytest.raises(ModelUnavailable, match="down") as raised:
        await two.infer()
    assert raised.value.cause is not None
    assert "[1,5]" in raised.value.cause
    assert two.backends[1].inputs == []


async def test_an_inference_that_the_other_cannot_do_is_told(pair: Make) -> None:
    two = pair(first=tripled(dims=("N", 4)), other=tripled(dims=(1, 4)))
    two.backends[0].error = ModelUnavailable("down")
    assert (await two.infer())[0] == TRIPLED
    with pytest.raises(ModelUnavailable) as raised:
        await two.infer(Tensor(TensorType.F32, (2, 4), bytes(32)))
    assert raised.value.cause is not None
    assert "[2,4]" in raised.value.cause


async def test_while_the_model_is_unknown_the_stand_in_is_what_guests_see(pair: Make) -> None:
    two = pair(other=tripled("data", "scores"))
    signature = two.served[0].entry.signature
    two.become(0, "away", signature=None, reason="no server has described it yet")
    graph = await two.graph()
    assert [spec.name for spec in graph.signature.inputs] == ["data"]
    assert await two.infer() == (TRIPLED, "large by small")
    two.become(0, "ready", signature=signature)
    assert [spec.name for spec in (await two.graph()).signature.inputs] == ["x"]
    assert await two.infer() == (LINEAR, None)
    two.become(0, "away")
    assert [spec.name for spec in (await two.graph()).signature.inputs] == ["x"], "once known, it stays"


async def test_a_request_waits_for_whichever_is_ready_first(pair: Make) -> None:
    two = pair()
    known = two.served[1].entry.signature
    for position in (0, 1):
        two.become(position, "loading", signature=None, when_down="wait")
    coming = asyncio.ensure_future(two.graph())
    await asyncio.sleep(0.02)
    assert not coming.done()
    two.become(1, "ready", signature=known)
    graph = await asyncio.wait_for(coming, 2)
    assert graph.name == "large"
    assert await two.infer() == (TRIPLED, "large by small")


async def test_a_guest_is_not_told_but_the_developer_is(pair: Make) -> None:
    two = pair()
    two.backends[0].error = ModelUnavailable("down")

    class Models:
        allow_load = False

        def resolve(self, name: str) -> Any:
            return two.model.resolve()

    session = Session(Models(), Limits(), "t")  # type: ignore[arg-type]
    handle = session.load_by_name(b"large")
    assert isinstance(handle, int)
    context = session.context(session.init_execution_context(handle))
    context.set_input(0, X.type, X.dims, X.data)
    await context.compute()
    assert np.frombuffer(context.output(0).data, "<f4").tolist() == TRIPLED
    assert session.timing.stand_ins == ["large by small"]
    session.close()
    assert two.held == 0


# --- both places --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("prefer", "expected"), [("local", LINEAR), ("remote", TRIPLED)])
async def test_the_preferred_place(pair: Make, prefer: str, expected: list[float]) -> None:
    two = pair(Alternative(id="small", prefer=prefer))  # type: ignore[arg-type]
    for _ in range(3):
        assert await two.infer() == (expected, None)
    place = "local" if prefer == "local" else "remote"
    assert two.counted("wasmind_placements_total", model="large", place=place) == 3


@pytest.mark.parametrize(("prefer", "expected"), [("local", TRIPLED), ("remote", LINEAR)])
async def test_the_other_place_when_that_is_down(pair: Make, prefer: str, expected: list[float]) -> None:
    two = pair(Alternative(id="small", prefer=prefer))  # type: ignore[arg-type]
    two.backends[0 if prefer == "local" else 1].error = ModelUnavailable("down")
    assert (await two.infer())[0] == expected
    assert two.counted("wasmind_stand_ins_total", reason="down") == 1


async def test_the_fastest_place_is_found_by_trying(pair: Make) -> None:
    two = pair(Alternative(id="small", prefer="fastest"))
    await two.infer()
    await two.infer()
    assert [len(backend.inputs) for backend in two.backends] == [1, 1]
    now = asyncio.get_running_loop().time()
    for _ in range(50):
        two.model.paces[0].measured(1.0, now)
        two.model.paces[1].measured(0.001, now)
    for _ in range(5):
        assert (await two.infer())[0] == TRIPLED


async def test_cancelling_leaves_nothing(pair: Make) -> None:
    two = pair(Alternative(id="small", after_ms=5))
    two.backends[0].real.delay = two.backends[1].real.delay = 5
    task = asyncio.create_task(two.infer())
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [backend.real.cancelled for backend in two.backends] == [1, 1]
    assert [pace.running for pace in two.model.paces] == [0, 0]
    assert two.held == 0
