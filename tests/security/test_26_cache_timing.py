"""Row 26: answers are kept for each tenant apart, so nobody learns by a quick one what another has asked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from support.backend import OnnxBackend
from support.edges import function
from support.nodes import CONFIG, running
from support.onnx_models import linear
from wasmind.models.loads import Loads
from wasmind.models.node import NodeModels
from wasmind.nn.graph import Graph
from wasmind.nn.tensor import Tensor, TensorType
from wasmind.node.messages import ModelEntry
from wasmind.telemetry.figures import EdgeFigures
from wasmind.telemetry.metrics import Registry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wasmind.models.node import FunctionModels

ENTRY = ModelEntry(
    id="shared/linear",
    name="linear",
    scope="shared",
    digest="0",
    socket="/nowhere",
    state="ready",
    deadline_ms=5_000.0,
    queue=10,
    shared_memory=1 << 20,
    cache=1 << 16,
)
X = Tensor(TensorType.F32, (1, 4), bytes(16))


class World:
    """A shared model, its backend in this process, and functions that may name it."""

    def __init__(self, **settings: object) -> None:
        figures = EdgeFigures(Registry(Path("/nowhere")))
        self.backend = OnnxBackend(linear())
        self.models = NodeModels(Loads(Path("/nowhere"), lambda _: None, figures), figures)
        self.replace(msgspec.structs.replace(ENTRY, **settings))

    def replace(self, entry: ModelEntry) -> None:
        self.models.apply([msgspec.structs.replace(entry, signature=self.backend.signature)])
        self.id = entry.id
        self.models._served[entry.id].graph = Graph("linear", self.backend)

    def function(self, tenant: str, *, cache: bool = True) -> FunctionModels:
        return self.models.granted(
            function("f", "hello.wat", tenant=tenant, cache=cache, grants={"linear": self.id})
        )

    async def ask(self, models: FunctionModels, tenant: str, x: Tensor = X) -> bool:
        """Whether the answer came from the model itself."""
        before = self.backend.calls
        graph = models.resolve("linear")
        assert isinstance(graph, Graph)
        deadline = asyncio.get_running_loop().time() + 5
        outputs = await graph.backend.infer((x,), deadline, tenant)
        assert bytes(outputs.tensors[0].data)[:4] == b"\0\0\x80\x3f"
        outputs.release()
        return self.backend.calls > before


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.models.close()


async def test_what_one_tenant_asked_is_no_quicker_for_another(world: World) -> None:
    victim, attacker = world.function("victim"), world.function("attacker")
    assert await world.ask(victim, "victim")
    assert not await world.ask(victim, "victim"), "its own answer is kept"
    assert await world.ask(attacker, "attacker"), "another's is not known"
    assert not await world.ask(world.function("victim"), "victim"), "its other functions share it"


async def test_only_where_both_want_it() -> None:
    world = World()
    plain = world.function("t", cache=False)
    assert await world.ask(plain, "t")
    assert await world.ask(plain, "t")
    without = World(cache=0)
    eager = without.function("t")
    assert await without.ask(eager, "t")
    assert await without.ask(eager, "t")
    await world.models.close()
    await without.models.close()


async def test_another_version_has_answers_of_its_own(world: World) -> None:
    old = world.function("t")
    assert await world.ask(old, "t")
    world.replace(msgspec.structs.replace(ENTRY, id="shared/linear@2"))
    assert await world.ask(world.function("t"), "t")


async def test_what_it_takes_is_bounded_and_nothing_of_the_model_is_held(world: World) -> None:
    models = world.function("t")

    def numbered(number: int) -> Tensor:
        return Tensor(TensorType.F32, (1, 4), bytes(4) + number.to_bytes(12, "little"))

    for number in range(1000):
        await world.ask(models, "t", numbered(number))
    ((_, answers, _),) = world.models._caches._graphs.values()
    assert 0 < answers.used <= ENTRY.cache
    assert world.backend.held == 0
    assert not await world.ask(models, "t", numbered(999))
    assert await world.ask(models, "t", numbered(1))


@pytest.mark.slow
def test_a_node_counts_hits_and_misses(tmp_path: Path) -> None:
    config = CONFIG.replace('description = "y', 'cache = "1MiB"\ndescription = "y')
    with running(tmp_path, config.replace("allow_load = true", "cache = true")) as node:
        for _ in range(5):
            assert node.get("/ask/linear").text == "3 5 7 9 \n"
        node.until(lambda: 'result="hit",scope="shared"} 4.0' in node.api("/metrics").text)
        assert 'wasmind_inference_cache_total{model="linear",result="miss",scope="shared"} 1.0' in (
            node.api("/metrics").text
        )
