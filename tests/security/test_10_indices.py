"""Row 10: set_input(0xFFFFFFFF) and gaps between inputs are errno 1, and take no memory."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest

from support import onnx_models
from support.backend import FixedModels, OnnxBackend
from support.caller import F32, Caller
from wasmind.nn.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.sandbox import Program


@pytest.fixture
def ephemeral(program: Callable[[str], Program]) -> Program:
    return program("wasi_ephemeral_nn")


async def test_indices(ephemeral: Program) -> None:
    backend = OnnxBackend(onnx_models.add())
    async with Caller(ephemeral, FixedModels(add=Graph("add", backend))) as guest:
        context = await guest.context("add")
        record = guest.tensor((1, 3), F32, bytes(12))
        tracemalloc.start()
        try:
            for index in (2, 3, 100, 10**6, 2**31 - 1, 2**31, 2**32 - 1):
                assert await guest.call("set_input", context, index, record) == 1
                assert (await guest.output(context, index))[0] == 1
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 1 << 20
        assert backend.leased == 0
        assert await guest.call("set_input", context, 1, record) == 0
        assert await guest.call("compute", context) == 1  # input 0 was never set
        assert "without input 0 (x: f32 [N,3])" in guest.notes[-1]
        assert backend.calls == 0
        assert await guest.call("set_input", context, 0, record) == 0
        assert await guest.call("compute", context) == 0
