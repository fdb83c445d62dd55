"""Row 9: dimensions times element size must be the data's length, to the byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support import onnx_models
from support.backend import FixedModels, OnnxBackend
from support.caller import F16, F32, F64, I32, I64, U8, Caller
from wasmind.nn.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.sandbox import Program

KINDS = {
    F16: (onnx_models.F16, 2),
    F32: (onnx_models.FLOAT, 4),
    F64: (onnx_models.F64, 8),
    U8: (onnx_models.U8, 1),
    I32: (onnx_models.I32, 4),
    I64: (onnx_models.I64, 8),
}


@pytest.fixture
def ephemeral(program: Callable[[str], Program]) -> Program:
    return program("wasi_ephemeral_nn")


@pytest.mark.parametrize("type_", KINDS)
async def test_every_length_but_the_right_one_is_refused(ephemeral: Program, type_: int) -> None:
    kind, size = KINDS[type_]
    backend = OnnxBackend(onnx_models.identity(kind, ("N", 3)))
    async with Caller(ephemeral, FixedModels(model=Graph("model", backend))) as guest:
        context = await guest.context("model")
        for rows in (1, 2):
            need = rows * 3 * size
            for length in (*range(need + 20), 4096, 2**31, 2**32 - 1):
                record = guest.tensor((rows, 3), type_, bytes(need), length=length)
                errno = await guest.call("set_input", context, 0, record)
                assert errno == (0 if length == need else 1), length
        assert await guest.call("compute", context) == 0
        assert (await guest.output(context))[:2] == (0, 6 * size)


async def test_the_wrong_type_is_refused_whatever_its_length(ephemeral: Program) -> None:
    backend = OnnxBackend(onnx_models.linear())
    async with Caller(ephemeral, FixedModels(linear=Graph("linear", backend))) as guest:
        context = await guest.context()
        for type_ in set(KINDS) - {F32}:
            for length in (4, 8, 16, 32):
                assert await guest.set_input(context, 0, (1, 4), type_, bytes(length)) == 1
        assert backend.leased == 0
