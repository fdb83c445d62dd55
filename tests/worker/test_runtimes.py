"""What every runtime does alike, in a confined worker: serve, batch, share cores, refuse devices."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest

from support.frameworks import EACH, ONCE, Linear
from support.workers import served, spec_of
from wasmind.config import Device
from wasmind.errors import ModelLoadFailed, UnsupportedOperation
from wasmind.nn.tensor import TensorType
from wasmind.worker.runtimes.base import RUNTIMES
from wasmind.worker.spawn import listen, spawn

if TYPE_CHECKING:
    from pathlib import Path

    from wasmind.errors import NnError
    from wasmind.worker.spec import WorkerSpec


async def refusal(spec: WorkerSpec, directory: Path) -> NnError:
    """Why a model is not served."""
    with listen(directory / "s.sock") as listener:
        process = await spawn(spec, listener)
        with pytest.raises((ModelLoadFailed, UnsupportedOperation)) as caught:
            await process.ready()
        await process.wait()
        return caught.value


@pytest.mark.parametrize("linear", EACH)
async def test_it_serves_what_it_reads(linear: Linear, tmp_path: Path) -> None:
    path = linear.write(tmp_path)
    async with served(path, tmp_path, **linear.settings) as made:
        (x,), (y,) = made.ready.signature.inputs, made.ready.signature.outputs
        assert (x.type, x.dims) == (y.type, y.dims) == (TensorType.F32, (1, 4))
        assert x.name == "x"
        for value in (1.0, -3.5):
            (got,) = await made.infer(np.full((1, 4), value, np.float32))
            assert got.tolist() == [[2 * value + 1] * 4]
        assert made.ready.notes == ()
        assert made.ready.confinement.complete
        usage = made.process.usage()
        assert usage is not None
        assert made.ready.memory < usage.memory + (64 << 20)


@pytest.mark.parametrize("linear", ONCE)
async def test_instances_and_threads_serve_at_once(linear: Linear, tmp_path: Path) -> None:
    """More of both than there are cores; no thread can be made once it serves."""
    path = linear.write(tmp_path)
    async with served(path, tmp_path, **linear.settings, threads=2, instances=3, warm_up=False) as made:
        values = [float(value) for value in range(24)]
        got = await asyncio.gather(*(made.infer(np.full((1, 4), value, np.float32)) for value in values))
        assert [y[0, 0] for (y,) in got] == [2 * value + 1 for value in values]
        assert not [line for line in made.log if "thread" in line.lower()]


@pytest.mark.parametrize("linear", ONCE)
async def test_a_device_that_is_not_there_is_refused(linear: Linear, tmp_path: Path) -> None:
    error = await refusal(spec_of(linear.write(tmp_path), **linear.settings, target="gpu"), tmp_path)
    assert isinstance(error, UnsupportedOperation)
    assert "no GPU" in error.message
    assert "CPU" in (error.cause or "")
    assert 'fallback = "cpu"' in (error.remedy or "")


@pytest.mark.parametrize("target", ["gpu", "tpu"])
@pytest.mark.parametrize("linear", ONCE)
async def test_what_a_framework_finds_itself_is_told(linear: Linear, target: str, tmp_path: Path) -> None:
    """The configuration gives the device, and there is no driver."""
    path = linear.write(tmp_path)
    error = await refusal(spec_of(path, **linear.settings, target=target, device=Device()), tmp_path)
    assert f"no {target.upper()} for " in error.message
    assert (error.cause or "").startswith(f"with what [devices.{target}] gives, it finds ")
    assert "CPU" in (error.cause or "")


@pytest.mark.parametrize("linear", ONCE)
async def test_the_cpu_takes_over_where_the_operator_says_so(linear: Linear, tmp_path: Path) -> None:
    path = linear.write(tmp_path)
    async with served(path, tmp_path, **linear.settings, target="tpu", fallback="cpu") as made:
        (note,) = made.ready.notes
        assert note.startswith("on the CPU: there is no TPU")
        assert (await made.infer(np.ones((1, 4), np.float32)))[0].tolist() == [[3.0] * 4]


@pytest.mark.parametrize("linear", ONCE)
async def test_less_memory_than_the_framework_takes_is_told(linear: Linear, tmp_path: Path) -> None:
    spec = spec_of(linear.write(tmp_path), **linear.settings, memory=RUNTIMES[linear.runtime].floor - 1)
    error = await refusal(spec, tmp_path)
    words = error.explain()
    assert "at least" in words or "memory" in words


@pytest.mark.parametrize("linear", ONCE)
async def test_the_floor_is_enough_for_a_small_model(linear: Linear, tmp_path: Path) -> None:
    path = linear.write(tmp_path)
    async with served(path, tmp_path, **linear.settings, memory=RUNTIMES[linear.runtime].floor) as made:
        assert (await made.infer(np.ones((1, 4), np.float32)))[0].tolist() == [[3.0] * 4]
