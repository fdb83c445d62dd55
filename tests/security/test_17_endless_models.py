"""Row 17: a loop without end, when it runs and when it loads. A clock ends both."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import helper

from support.onnx_models import BOOL, FLOAT, I64, constant, model, node
from support.workers import served, spec_of
from wasmind.errors import InferenceTimeout, ModelLoadFailed
from wasmind.worker.spawn import listen, spawn

if TYPE_CHECKING:
    from pathlib import Path


def loop(rounds: int | None) -> bytes:
    """y = x after so many rounds; None: as many as the input `n` says."""
    body = helper.make_graph(
        [node("Identity", ["go"], ["going"]), node("Add", ["v", "zero"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("i", I64, []),
            helper.make_tensor_value_info("go", BOOL, []),
            helper.make_tensor_value_info("v", FLOAT, [1]),
        ],
        [helper.make_tensor_value_info("going", BOOL, []), helper.make_tensor_value_info("w", FLOAT, [1])],
        [constant("zero", FLOAT, [1], [0.0])],
    )
    inputs = [("n", I64, [])] if rounds is None else []
    constants = [constant("one", FLOAT, [1], [1.0])]
    if rounds is not None:
        constants.append(constant("n", I64, [], [rounds]))
    return model([node("Loop", ["n", "", "one"], ["y"], body=body)], inputs, [("y", FLOAT, [1])], constants)


def times(rounds: int) -> np.ndarray:
    return np.array(rounds, np.int64)


FOREVER = times(1 << 60)


async def test_the_run_is_ended_at_its_limit_and_the_process_serves_on(tmp_path: Path) -> None:
    async with served(loop(None), tmp_path, run_limit_ms=300) as made:
        assert (await made.infer(times(3)))[0].tolist() == [1.0]
        began = time.monotonic()
        with pytest.raises(InferenceTimeout, match="took longer than it may"):
            await made.infer(FOREVER)
        assert time.monotonic() - began < 3
        assert (await made.infer(times(3)))[0].tolist() == [1.0]
        assert made.process.usage() is not None


async def test_those_behind_it_are_answered(tmp_path: Path) -> None:
    async with served(loop(None), tmp_path, run_limit_ms=300) as made:
        endless = asyncio.create_task(made.infer(FOREVER))
        await asyncio.sleep(0.05)
        assert await asyncio.gather(*(made.infer(times(2)) for _ in range(10)))
        with pytest.raises(InferenceTimeout):
            await endless


async def test_beside_it_another_instance_answers_at_once(tmp_path: Path) -> None:
    async with served(loop(None), tmp_path, run_limit_ms=5000, instances=2) as made:
        endless = asyncio.create_task(made.infer(FOREVER))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        await asyncio.gather(*(made.infer(times(2)) for _ in range(20)))
        assert time.monotonic() - began < 1
        endless.cancel()
        await asyncio.sleep(0.2)
        await made.settled()


@pytest.mark.slow
async def test_a_load_that_does_not_end_is_killed(tmp_path: Path) -> None:
    """Without inputs the whole loop is a constant; folding or warming up, the clock ends it."""
    path = tmp_path / "endless.onnx"
    path.write_bytes(loop(1 << 60))
    with listen(tmp_path / "s.sock") as listener:
        process = await spawn(spec_of(path, load_timeout_ms=2500), listener)
        began = time.monotonic()
        with pytest.raises(ModelLoadFailed, match="ended while loading") as caught:
            await process.ready()
        assert time.monotonic() - began < 10
        assert caught.value.cause == "killed: loading took longer than 2.5 s"
        assert (await process.wait()).reason == caught.value.cause
