"""TFLite models on a GPU, in confined processes: LiteRT's accelerator on a Vulkan driver in software."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from support import swiftshader, tflite_models
from support.frameworks import needs
from support.tflite_models import FLOAT, Kind, Op, Tensor
from support.workers import served
from wasmind.config import Device
from wasmind.errors import UnsupportedOperation
from wasmind.worker.runtimes.accelerated import said

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from support.workers import Served

pytestmark = [swiftshader.needed, needs("tflite")]
FINDS = "it finds CPU: "


def on_gpu(
    directory: Path, content: bytes, device: Device | None = None, **settings: Any
) -> AbstractAsyncContextManager[Served]:
    path = directory / "model.tflite"
    path.write_bytes(content)
    settings = {"encoding": "tensorflowlite", "runtime": "tflite", "target": "gpu"} | settings
    return served(path, directory, **settings, device=device or swiftshader.device())


async def refusal(directory: Path, content: bytes, device: Device | None = None) -> UnsupportedOperation:
    with pytest.raises(UnsupportedOperation) as caught:
        async with on_gpu(directory, content, device):
            pass
    return caught.value


def rank() -> bytes:
    """A model whose only operator no GPU has."""
    return tflite_models.model(
        [Tensor("x", [1, 4]), Tensor("y", [], Kind.INT32)], [(Op.RANK, ["x"], ["y"], None)], ["x"], ["y"]
    )


async def test_a_confined_process_computes_on_it(tmp_path: Path) -> None:
    async with on_gpu(tmp_path, tflite_models.linear()) as made:
        assert made.ready.runtime.endswith(" on WebGPU")
        assert made.ready.notes == ()
        assert made.ready.confinement.complete
        for value in (1.0, -3.5):
            (y,) = await made.infer(np.full((1, 4), value, np.float32))
            assert y.tolist() == [[2 * value + 1] * 4]
        assert any("SwiftShader" in line for line in made.log), "LiteRT says which adapter it has taken"
        status = _status(made.process.pid)
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


async def test_inputs_of_any_size_and_in_several_instances(tmp_path: Path) -> None:
    """Buffers are made anew after the process has given up making threads and opening files."""
    async with on_gpu(tmp_path, tflite_models.linear(-1), instances=2) as made:
        xs = [np.arange(4 * rows, dtype=np.float32).reshape(rows, 4) for rows in (1, 3, 2, 3, 1, 8)]
        for x, (y,) in zip(xs, await asyncio.gather(*map(made.infer, xs)), strict=True):
            assert y.tolist() == (2 * x + 1).tolist()


async def test_a_missing_driver_is_refused_with_its_words(tmp_path: Path) -> None:
    device = swiftshader.device(env={"VK_DRIVER_FILES": "/none", "LD_LIBRARY_PATH": ""})
    error = await refusal(tmp_path, tflite_models.linear(), device)
    assert error.message.startswith("there is no GPU for ai-edge-litert")
    assert FINDS in (error.cause or "")
    assert "accelerator_registry.cc" not in (error.cause or "")


async def test_a_driver_that_may_not_be_read_is_no_driver(tmp_path: Path) -> None:
    """Its files lie among the libraries; it is the description, elsewhere, that is not given."""
    given = swiftshader.device()
    description = tmp_path / "icd.json"
    text = (swiftshader.place() / swiftshader.DESCRIPTION).read_text()  # type: ignore[operator]
    driver = str(swiftshader.place() / swiftshader.DRIVER)  # type: ignore[operator]
    description.write_text(text.replace(f"./{swiftshader.DRIVER}", driver))
    env = given.env | {"VK_DRIVER_FILES": str(description)}
    error = await refusal(tmp_path, tflite_models.linear(), Device(read=given.read, env=env))
    assert FINDS in (error.cause or "")
    async with on_gpu(
        tmp_path, tflite_models.linear(), Device(read=[driver, str(description)], env=env)
    ) as made:
        assert (await made.infer(np.ones((1, 4), np.float32)))[0].tolist() == [[3.0] * 4]


async def test_a_model_that_it_cannot_compute_is_refused(tmp_path: Path) -> None:
    error = await refusal(tmp_path, rank())
    assert error.message == "LiteRT cannot run the model on a GPU"
    assert "not accelerated" in (error.cause or "")


async def test_or_runs_on_the_cpu_in_part_where_the_operator_says_so(tmp_path: Path) -> None:
    two = tflite_models.model(
        [Tensor("x", [1, 4]), Tensor("y", [1, 4]), Tensor("r", [], Kind.INT32)],
        [(Op.ABS, ["x"], ["y"], None), (Op.RANK, ["x"], ["r"], None)],
        ["x"],
        ["y", "r"],
    )
    async with on_gpu(tmp_path, two, fallback="cpu") as made:
        (note,) = made.ready.notes
        assert note.startswith("on the CPU in part: ")
        assert made.ready.runtime.endswith(" on WebGPU")
        y, r = await made.infer(np.float32([[1, -2, 3, -4]]))
        assert (y.tolist(), int(r)) == ([[1, 2, 3, 4]], 2)


async def test_or_as_a_whole_in_a_process_for_the_cpu(tmp_path: Path) -> None:
    """The model has tensors that no buffer of LiteRT's can have, which is found once it is read."""
    floats = tflite_models.model(
        [Tensor("x", [1, 4], FLOAT), Tensor("y", [1, 4], Kind.INT64)],
        [(Op.CAST, ["x"], ["y"], None)],
        ["x"],
        ["y"],
    )
    assert "it has tensors of i64" in ((await refusal(tmp_path, floats)).cause or "")
    async with on_gpu(tmp_path, floats, fallback="cpu") as made:
        (note,) = made.ready.notes
        assert note == "on the CPU: LiteRT cannot run the model on a GPU: it has tensors of i64"
        assert "WebGPU" not in made.ready.runtime
        (y,) = await made.infer(np.float32([[1, 2, 3, 4]]))
        assert y.tolist() == [[1, 2, 3, 4]]
        assert _status(made.process.pid)["Seccomp_filters"] == "3", (
            "the device's, the CPU's, the one to serve"
        )


async def test_a_model_that_remembers_is_refused(tmp_path: Path) -> None:
    assert "variables" in ((await refusal(tmp_path, tflite_models.counter())).cause or "")


def test_its_words_are_told_without_where_they_were_said() -> None:
    words = "ERROR: [./litert/cc/litert_compiled_model.h:1961]\n└ Some ops are not accelerated. Add it."
    assert said(RuntimeError(words)) == "Some ops are not accelerated. Add it."
    only = "ERROR: [a.cc:1]\n└ ERROR: [b.cc:2]\nINFO: [c.cc:3] DestroyAccelerator: ptr=0x1"
    assert "a.cc" not in said(RuntimeError(only))


def _status(pid: int) -> dict[str, str]:
    with open(f"/proc/{pid}/status") as file:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}
