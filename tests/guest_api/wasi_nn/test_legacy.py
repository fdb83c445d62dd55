"""WAMR's older module name, with its own records and numbers."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from support import onnx_models
from support.backend import FixedModels, OnnxBackend
from support.guests import Run
from wasmind.guest_api.wasi_nn import legacy
from wasmind.nn.encoding import Encoding, Target
from wasmind.nn.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.sandbox import Program

OUT, NAME, RECORD, ARRAY, DIMS, DATA, BUFFER = 16, 64, 128, 160, 256, 1024, 4096
SIZE = 4 * 65536


@pytest.fixture
def models() -> FixedModels:
    return FixedModels(
        linear=Graph("linear", OnnxBackend(onnx_models.linear())),
        bytes=Graph("bytes", OnnxBackend(onnx_models.identity(onnx_models.U8, ("N",)))),
        ints=Graph("ints", OnnxBackend(onnx_models.identity(onnx_models.I32, ("N",)))),
    )


@pytest.fixture
def door(program: Callable[[str], Program]) -> Program:
    return program("wasi_nn")


async def context_of(run: Run, name: bytes) -> int:
    run.memory.write(NAME, name)
    assert await run.call("load_by_name", NAME, len(name), OUT) == 0
    assert await run.call("init_execution_context", run.memory.u32(OUT), OUT) == 0
    return run.memory.u32(OUT)


async def set_input(run: Run, context: int, dims: tuple[int, ...], type_: int, data: bytes) -> int:
    run.memory.write(DIMS, struct.pack(f"<{len(dims)}I", *dims))
    run.memory.write(ARRAY, struct.pack("<II", DIMS, len(dims)))
    run.memory.write(DATA, data)
    run.memory.write(RECORD, struct.pack("<IB", ARRAY, type_) + b"\xaa\xbb\xcc" + struct.pack("<I", DATA))
    return await run.call("set_input", context, 0, RECORD)


def test_the_types_are_those_of_wamr() -> None:
    assert {host.name: str(host.signature) for host in legacy.nn} == {
        "load_by_name": "(i32, i32, i32) -> (i32)",
        "init_execution_context": "(i32, i32) -> (i32)",
        "compute": "(i32) -> (i32)",
        "load": "(i32, i32, i32, i32) -> (i32)",
        "set_input": "(i32, i32, i32) -> (i32)",
        "get_output": "(i32, i32, i32, i32) -> (i32)",
    }


@pytest.mark.parametrize(
    ("name", "dims", "type_", "data", "answer"),
    [
        (b"linear", (1, 4), 1, struct.pack("<4f", 1, 2, 3, 4), struct.pack("<4f", 3, 5, 7, 9)),
        (b"bytes", (5,), 2, b"hello", b"hello"),
        (b"ints", (2,), 3, struct.pack("<2i", -1, 7), struct.pack("<2i", -1, 7)),
    ],
)
async def test_from_a_name_to_an_answer(
    door: Program,
    models: FixedModels,
    name: bytes,
    dims: tuple[int, ...],
    type_: int,
    data: bytes,
    answer: bytes,
) -> None:
    async with Run(door, models) as run:
        context = await context_of(run, name)
        assert await set_input(run, context, dims, type_, data) == 0, run.notes
        assert await run.call("compute", context) == 0
        run.memory.set_u32(OUT, 1024)
        assert await run.call("get_output", context, 0, BUFFER, OUT) == 0
        assert run.memory.u32(OUT) == len(answer)
        assert run.memory.read(BUFFER, len(answer)) == answer


@pytest.mark.parametrize("size", [0, 4, 15])
async def test_a_buffer_that_is_too_small_is_7_and_told(
    door: Program, models: FixedModels, size: int
) -> None:
    async with Run(door, models) as run:
        context = await context_of(run, b"linear")
        assert await set_input(run, context, (1, 4), 1, bytes(16)) == 0
        assert await run.call("compute", context) == 0
        run.memory.set_u32(OUT, size)
        assert await run.call("get_output", context, 0, BUFFER, OUT) == 7
        assert run.memory.u32(OUT) == 16


@pytest.mark.parametrize("type_", [4, 5, 255])
async def test_it_has_four_types(door: Program, models: FixedModels, type_: int) -> None:
    async with Run(door, models) as run:
        context = await context_of(run, b"linear")
        assert await set_input(run, context, (1, 4), type_, bytes(16)) == 1
        assert "the types are 0 f16, 1 f32, 2 u8, 3 i32" in run.notes[0]


async def test_bytes_can_be_loaded_from_its_builder_array(door: Program, models: FixedModels) -> None:
    models.allow_load = True
    data = onnx_models.linear()
    async with Run(door, models) as run:
        run.memory.write(DATA, data)
        run.memory.write(ARRAY, struct.pack("<II", DATA, len(data)))
        run.memory.write(RECORD, struct.pack("<II", ARRAY, 1))
        assert await run.call("load", RECORD, 6, 0, OUT) == 0, run.notes
        assert models.loaded == [((data,), Encoding.ONNX, Target.CPU)]
        assert await run.call("init_execution_context", run.memory.u32(OUT), OUT) == 0


async def test_loading_follows_the_policy(door: Program, models: FixedModels) -> None:
    async with Run(door, models) as run:
        run.memory.write(RECORD, struct.pack("<II", ARRAY, 1))
        assert await run.call("load", RECORD, 1, 0, OUT) == 6


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("load", (SIZE - 7, 1, 0, OUT)),
        ("set_input", (None, 0, SIZE - 11)),
        ("get_output", (None, 0, BUFFER, SIZE - 3)),
        ("get_output", (None, 0, SIZE + 1, OUT)),
    ],
)
async def test_a_pointer_out_of_bounds_is_1(
    door: Program, models: FixedModels, name: str, values: tuple[int | None, ...]
) -> None:
    async with Run(door, models) as run:
        context = await context_of(run, b"linear")
        assert await set_input(run, context, (1, 4), 1, bytes(16)) == 0
        assert await run.call("compute", context) == 0
        assert await run.call(name, *(context if value is None else value for value in values)) == 1


@pytest.mark.parametrize("dims", [(2**32 - 1,) * 8, (SIZE,), (1, 2**30)])
async def test_data_as_long_as_the_dimensions_say_must_be_inside(
    door: Program, models: FixedModels, dims: tuple[int, ...]
) -> None:
    async with Run(door, models) as run:
        context = await context_of(run, b"linear")
        assert await set_input(run, context, dims, 1, b"") == 1
        assert "outside the function's memory" in run.notes[0]


async def test_a_rank_is_bounded_before_it_is_read(door: Program, models: FixedModels) -> None:
    async with Run(door, models) as run:
        context = await context_of(run, b"linear")
        run.memory.write(ARRAY, struct.pack("<II", DIMS, 1_000_000))
        run.memory.write(RECORD, struct.pack("<III", ARRAY, 1, DATA))
        assert await run.call("set_input", context, 0, RECORD) == 1
        assert "a tensor of rank 1000000" in run.notes[0]
