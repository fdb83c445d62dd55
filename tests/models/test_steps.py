"""Models that go step by step, behind a cache of answers and behind a stand-in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from support.gguf_models import tiny
from support.workers import Client, Standing, standing
from wasmind.errors import ModelUnavailable
from wasmind.models.alternatives import Alternatives
from wasmind.models.answers import Answers, CachedBackend
from wasmind.models.served import ServedModel
from wasmind.nn.graph import Graph
from wasmind.nn.tensor import Tensor, TensorType
from wasmind.node.messages import Alternative, ModelEntry
from wasmind.telemetry.figures import EdgeFigures
from wasmind.telemetry.metrics import Registry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from wasmind.nn.backend import Backend

TOLD = b"hello", b'{"temp": 0, "n-predict": 3, "ignore-eos": true}', b""
INPUTS = tuple(Tensor(TensorType.U8, (len(data),), data) for data in TOLD)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    directory = tmp_path_factory.mktemp("steps")
    with standing(tiny(directory / "tiny.gguf"), directory, encoding="ggml", runtime="ggml") as made:
        yield made


@pytest.fixture
async def client(process: Standing) -> AsyncIterator[Client]:
    async with process.client() as made:
        yield made


async def written(backend: Backend) -> bytes:
    """Four steps, of which the last ends the text."""
    generation = backend.generation()
    text = b""
    for given in (INPUTS, (), (), ()):
        outputs = await generation.step(given, asyncio.get_running_loop().time() + 20, "t")
        text += bytes(outputs.tensors[0].data)
        outputs.release()
    generation.close()
    return text


async def test_texts_are_not_taken_from_a_cache(client: Client, tmp_path: Path) -> None:
    answers = Answers(1 << 20)
    meter = EdgeFigures(Registry(tmp_path)).model("m", "shared")
    cached = CachedBackend(client.backend, answers, meter)
    assert await written(cached) == await written(cached) == await written(client.backend)
    assert answers.used == 0


def alternatives(client: Client, tmp_path: Path) -> tuple[Alternatives, list[ServedModel]]:
    figures = EdgeFigures(Registry(tmp_path))
    models = []
    for name in ("large", "small"):
        entry = ModelEntry(
            id=name,
            name=name,
            scope="shared",
            digest="0",
            socket="/nowhere",
            state="ready",
            signature=client.ready.signature,
            deadline_ms=5000.0,
            queue=10,
            shared_memory=1 << 20,
        )
        served = ServedModel(entry, figures.model(name, "shared"))
        served.graph = Graph(name, client.backend)
        models.append(served)
    meter = figures.elsewhere.alternative("large", "shared", "small")
    return Alternatives(*models, Alternative(id="small"), meter), models


async def test_the_first_that_serves_writes_all_of_a_text(client: Client, tmp_path: Path) -> None:
    model, (large, small) = alternatives(client, tmp_path)
    graph = model.resolve()
    assert isinstance(graph, Graph)
    expected = await written(client.backend)
    assert await written(graph.backend) == expected
    large.update(msgspec.structs.replace(large.entry, state="failed", reason="it broke"))
    assert await written(graph.backend) == expected
    small.update(msgspec.structs.replace(small.entry, state="failed", reason="it broke too"))
    with pytest.raises(ModelUnavailable, match="'large' is failed"):
        graph.backend.generation()


async def test_one_that_does_not_go_step_by_step_writes_none(client: Client, tmp_path: Path) -> None:
    model, (large, small) = alternatives(client, tmp_path)
    graph = model.resolve()
    assert isinstance(graph, Graph)
    large.update(msgspec.structs.replace(large.entry, state="failed"))
    at_once = msgspec.structs.replace(client.ready.signature, steps=False)
    small.update(msgspec.structs.replace(small.entry, signature=at_once))
    with pytest.raises(ModelUnavailable):
        graph.backend.generation()
