"""Row 7: enums out of range, and targets that are not there, are errnos."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from support import onnx_models
from support.backend import FixedModels, OnnxBackend
from support.caller import DATA, F32, OUT, RECORD, Caller
from wasmind.nn.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.sandbox import Program

SWEEP = [*range(256), 256, 1 << 16, 2**31 - 1, 2**31, 2**32 - 1]


@pytest.fixture
def ephemeral(program: Callable[[str], Program]) -> Program:
    return program("wasi_ephemeral_nn")


@pytest.fixture
def models() -> FixedModels:
    made = FixedModels(linear=Graph("linear", OnnxBackend(onnx_models.linear())))
    made.allow_load = True
    return made


async def load(guest: Caller, encoding: int, target: int) -> int:
    model = onnx_models.linear()
    guest.memory.write(DATA, model)
    guest.memory.write(RECORD, struct.pack("<II", DATA, len(model)))
    errno = await guest.call("load", RECORD, 1, encoding, target, OUT)
    if errno == 0:
        assert await guest.call("unload", guest.out) == 0
    return errno


async def test_encodings(ephemeral: Program, models: FixedModels) -> None:
    async with Caller(ephemeral, models) as guest:
        answers = {number: await load(guest, number, 0) for number in SWEEP}
    right = {0: 0, 1: 0, 5: 0, 6: 0}  # OpenVINO reads ONNX as well
    assert answers == {number: right.get(number, 2) for number in SWEEP}


async def test_targets(ephemeral: Program, models: FixedModels) -> None:
    """A TPU that is not there is an unsupported operation."""
    async with Caller(ephemeral, models) as guest:
        answers = {number: await load(guest, 1, number) for number in SWEEP}
    assert answers == {number: {0: 0, 1: 6, 2: 6}.get(number, 1) for number in SWEEP}


async def test_tensor_types(ephemeral: Program, models: FixedModels) -> None:
    async with Caller(ephemeral, models) as guest:
        context = await guest.context()
        answers = {
            number: await guest.set_input(context, 0, (1, 4), number, bytes(16)) for number in range(256)
        }
        assert await guest.call("compute", context) == 0
    assert answers == {number: 0 if number == F32 else 1 for number in range(256)}
