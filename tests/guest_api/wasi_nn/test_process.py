"""The core ABI over a model's own, confined process."""

from __future__ import annotations

import asyncio
import os
import signal
import struct
from typing import TYPE_CHECKING

import pytest

from support import onnx_models
from support.backend import FixedModels
from support.caller import F32, I64, U8, Caller
from support.workers import served
from wasmind.nn.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wasmind.sandbox import Program


@pytest.fixture
def ephemeral(program: Callable[[str], Program]) -> Program:
    return program("wasi_ephemeral_nn")


async def test_from_a_name_to_an_answer(ephemeral: Program, tmp_path: Path) -> None:
    async with served(onnx_models.linear(), tmp_path) as made:
        models = FixedModels(linear=Graph("linear", made.backend))
        async with Caller(ephemeral, models) as guest:
            context = await guest.context()
            for start in range(5):
                values = [start, 2, 3, 4]
                assert await guest.set_input(context, 0, (1, 4), F32, struct.pack("<4f", *values)) == 0
                assert await guest.call("compute", context) == 0, guest.notes
                expected = struct.pack("<4f", *(2 * value + 1 for value in values))
                assert await guest.output(context) == (0, 16, expected)
            timing = guest.run.session.timing
            assert timing.count == 5
            assert 0 < timing.compute_ns < timing.waited_ns
            assert guest.run.guest.figures.inference_ns == timing.waited_ns


@pytest.mark.parametrize("size", [1, 4096, 100_000])
async def test_bytes_of_any_length_pass_unchanged(ephemeral: Program, tmp_path: Path, size: int) -> None:
    """Short tensors travel inline, long ones in shared memory."""
    data = bytes(at * 7 % 251 for at in range(size))
    async with served(onnx_models.identity(onnx_models.U8, ("N",)), tmp_path) as made:
        models = FixedModels(same=Graph("same", made.backend))
        async with Caller(ephemeral, models) as guest:
            context = await guest.context("same")
            for turn in range(3):
                turned = data[turn:] + data[:turn]
                assert await guest.set_input(context, 0, (size,), U8, turned) == 0
                assert await guest.call("compute", context) == 0, guest.notes
                assert await guest.output(context, size=110_000) == (0, size, turned)


async def test_a_framework_that_fails_is_explained(ephemeral: Program, tmp_path: Path) -> None:
    async with served(onnx_models.gather(), tmp_path) as made:
        models = FixedModels(gather=Graph("gather", made.backend))
        async with Caller(ephemeral, models) as guest:
            context = await guest.context("gather")
            assert await guest.set_input(context, 0, (1,), I64, struct.pack("<q", 9)) == 0
            assert await guest.call("compute", context) == 5
            assert "an input holds the index 9" in guest.notes[0]
            assert await guest.set_input(context, 0, (1,), I64, struct.pack("<q", 3)) == 0
            assert await guest.call("compute", context) == 0


async def test_a_process_that_dies_is_5(ephemeral: Program, tmp_path: Path) -> None:
    async with served(onnx_models.linear(), tmp_path) as made:
        models = FixedModels(linear=Graph("linear", made.backend))
        async with Caller(ephemeral, models) as guest:
            context = await guest.context()
            assert await guest.set_input(context, 0, (1, 4), F32, bytes(16)) == 0
            assert await guest.call("compute", context) == 0
            os.kill(made.process.pid, signal.SIGSTOP)
            computing = asyncio.create_task(guest.call("compute", context))
            await asyncio.sleep(0.02)
            os.kill(made.process.pid, signal.SIGKILL)
            assert await computing == 5
            assert "process died" in guest.notes[0]


async def test_what_guests_held_is_given_back(ephemeral: Program, tmp_path: Path) -> None:
    async with served(onnx_models.identity(onnx_models.U8, ("N",)), tmp_path) as made:
        models = FixedModels(same=Graph("same", made.backend))
        for _ in range(100):
            async with Caller(ephemeral, models) as guest:
                context = await guest.context("same")
                assert await guest.set_input(context, 0, (100_000,), U8, bytes(100_000)) == 0
                assert await guest.call("compute", context) == 0
                assert guest.run.session.memory_used > 200_000
        link = made.backend._link
        assert link is not None
        assert link.space.arena.used == 0
