"""Row 8: dimensions whose product overflows, zeros and a rank of a million are refused without memory."""

from __future__ import annotations

import struct
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from support import onnx_models
from support.backend import FixedModels, OnnxBackend
from support.caller import DIMS, F32, RECORD, U8, Caller
from wasmind.nn.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.sandbox import Program

MOST = 2**32 - 1


class Deployed:
    def __init__(self) -> None:
        self.any_shape = OnnxBackend(onnx_models.identity(onnx_models.U8, ("a", "b", "c")))
        self.linear = OnnxBackend(onnx_models.linear())
        self.models = FixedModels(any=Graph("any", self.any_shape), linear=Graph("linear", self.linear))


@pytest.fixture
def deployed() -> Deployed:
    return Deployed()


@pytest.fixture
def ephemeral(program: Callable[[str], Program]) -> Program:
    return program("wasi_ephemeral_nn")


@pytest.mark.parametrize(
    ("dims", "data"),
    [
        ((2**31, 2**31, 4), b""),  # 2**64 elements: 0 in 64 bits
        ((2**16, 2**16, 1), b""),  # 2**32: 0 in 32 bits
        ((2**16, 2**16 + 1, 1), bytes(65536)),
        ((MOST, MOST, MOST), b"\0"),
        ((MOST, MOST, 1), b"\0"),  # 1 in 32 bits
        ((0, 0, 0), b""),
        ((0, 1, 1), b""),
        ((1, 0, MOST), b""),
    ],
)
async def test_products_and_zeros(
    ephemeral: Program, deployed: Deployed, dims: tuple[int, ...], data: bytes
) -> None:
    async with Caller(ephemeral, deployed.models) as guest:
        context = await guest.context("any")
        assert await guest.set_input(context, 0, dims, U8, data) == 1
        assert await guest.call("compute", context) == 1
        assert deployed.any_shape.leased == 0
        assert guest.run.session.memory_used == 0


@pytest.mark.parametrize("rank", [33, 1000, 10**6, 2**30, MOST])
async def test_ranks(ephemeral: Program, deployed: Deployed, rank: int) -> None:
    async with Caller(ephemeral, deployed.models) as guest:
        context = await guest.context()
        guest.memory.write(RECORD, struct.pack("<IIBxxxII", DIMS, rank, F32, 1024, 16))
        tracemalloc.start()
        try:
            assert await guest.call("set_input", context, 0, RECORD) == 1
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 1 << 20
        assert f"a tensor of rank {rank}" in guest.notes[0]
        assert deployed.linear.leased == 0
