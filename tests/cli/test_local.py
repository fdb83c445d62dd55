"""Models that a command serves for itself: started when wanted, explained when they die, gone at the end."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.nodes import alive, kill
from support.onnx_models import linear
from wasmind.cli.local import LocalModel, LocalModels
from wasmind.config import Model
from wasmind.errors import ModelLoadFailed, ModelNotFound, NnError
from wasmind.nn.encoding import Encoding, Target
from wasmind.nn.tensor import Tensor, TensorType

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wasmind.nn.graph import Graph

INPUT = Tensor(TensorType.F32, (1, 4), bytes(16))
ONES = b"\0\0\x80\x3f" * 4


@asynccontextmanager
async def local(models: dict[str, Model]) -> AsyncIterator[LocalModels]:
    with tempfile.TemporaryDirectory() as directory:
        found = LocalModels(models, Path(directory))
        try:
            yield found
        finally:
            await found.close()


async def answer(graph: Graph) -> bytes:
    outputs = await graph.backend.infer((INPUT,), asyncio.get_running_loop().time() + 10, "default")
    data = bytes(outputs.tensors[0].data)
    outputs.release()
    return data


@pytest.fixture
def settings(tmp_path: Path) -> Model:
    (tmp_path / "linear.onnx").write_bytes(linear())
    return Model(path=tmp_path / "linear.onnx")


async def test_a_model_is_started_once_when_it_is_wanted(settings: Model) -> None:
    async with local({"linear": settings, "unused": Model(path=Path("/gone"))}) as models:
        graphs = await asyncio.gather(*(models.resolve("linear") for _ in range(3)))
        assert graphs[0] is graphs[1] is graphs[2]
        assert await answer(graphs[0]) == ONES


async def test_a_name_that_is_not_there_is_told_with_those_that_are(settings: Model) -> None:
    async with local({"linear": settings}) as models:
        with pytest.raises(ModelNotFound) as refused:
            await models.resolve("other")
        assert refused.value.cause == "known are: linear"


async def test_the_same_bytes_are_loaded_once() -> None:
    async with local({}) as models:
        first = await models.load((linear(),), Encoding.ONNX, Target.CPU)
        assert await models.load((linear(),), Encoding.ONNX, Target.CPU) is first
        assert await answer(first) == ONES
        with pytest.raises(ModelLoadFailed):
            await models.load((linear()[:-40],), Encoding.ONNX, Target.CPU)


async def test_a_process_that_dies_is_explained_and_is_not_started_again(settings: Model) -> None:
    with tempfile.TemporaryDirectory() as directory:
        model = await LocalModel.start("linear", settings, Path(directory) / "m")
        assert await answer(model.graph) == ONES
        kill(model.process.pid)
        await model.process.wait()
        await asyncio.sleep(0.05)
        with pytest.raises(NnError) as refused:
            await answer(model.graph)
        assert "SIGKILL" in refused.value.explain()
        await model.close()


async def test_closing_ends_what_still_starts(settings: Model) -> None:
    async with local({"linear": settings}) as models:
        models.start(["linear"])
        await asyncio.sleep(0.05)
    async with local({"linear": settings}) as models:
        await models.resolve("linear")
        (task,) = models._started.values()
        pid = task.result().process.pid
        assert alive(pid)
    assert not alive(pid)
