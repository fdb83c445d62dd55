"""The core ABI through a real guest and a real framework, row by row of what must be answered."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from support import onnx_models
from support.backend import FixedModels, OnnxBackend
from support.caller import BUFFER, DATA, F32, I64, NAME, OUT, SIZE, Caller
from support.guests import Run, door
from support.guests import load as load_program
from wasmind.config import Limits
from wasmind.errors import (
    InferenceTimeout,
    ModelBusy,
    ModelDied,
    ModelUnavailable,
    NnCode,
    TooLarge,
    WasmindError,
)
from wasmind.guest_api.wasi_nn import witx
from wasmind.nn.graph import Graph
from wasmind.nn.tensor import TensorType

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.nn.tensor import Tensor
    from wasmind.sandbox import Engine, Program


@pytest.fixture
def models() -> FixedModels:
    return FixedModels(
        linear=Graph("linear", OnnxBackend(onnx_models.linear())),
        add=Graph("add", OnnxBackend(onnx_models.add())),
        gather=Graph("gather", OnnxBackend(onnx_models.gather())),
    )


@pytest.fixture
def ephemeral(program: Callable[[str], Program]) -> Program:
    return program("wasi_ephemeral_nn")


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def test_the_interface_is_the_whole_of_witx() -> None:
    assert {host.name: str(host.signature).count("i32") for host in witx.nn} == {
        "load": 6,
        "load_by_name": 4,
        "init_execution_context": 3,
        "set_input": 4,
        "compute": 2,
        "get_output": 6,
        "load_by_name_with_config": 6,
        "unload": 2,
        "finalize_execution_context": 2,
        "compute_single": 2,
        "get_output_single": 6,
        "fini_single": 2,
    }


async def test_from_a_name_to_an_answer(ephemeral: Program, models: FixedModels) -> None:
    async with Caller(ephemeral, models) as guest:
        context = await guest.context()
        assert await guest.set_input(context, 0, (1, 4), F32, floats(1, 2, 3, 4)) == 0
        assert await guest.call("compute", context) == 0
        assert await guest.output(context) == (0, 16, floats(3, 5, 7, 9))
        assert guest.notes == []
        assert guest.run.guest.figures.inference_ns == guest.run.session.timing.waited_ns > 0
    assert models.graphs["linear"].backend.held == 0  # type: ignore[attr-defined]


async def test_the_padding_of_a_tensor_may_hold_rubbish(ephemeral: Program, models: FixedModels) -> None:
    async with Caller(ephemeral, models) as guest:
        context = await guest.context()
        record = guest.tensor((1, 4), F32, floats(1, 2, 3, 4), padding=b"\xff\xfe\xfd")
        assert await guest.call("set_input", context, 0, record) == 0
        assert await guest.call("compute", context) == 0
        assert (await guest.output(context))[2] == floats(3, 5, 7, 9)


async def test_an_input_is_copied_when_it_is_set(ephemeral: Program, models: FixedModels) -> None:
    async with Caller(ephemeral, models) as guest:
        context = await guest.context()
        assert await guest.set_input(context, 0, (1, 4), F32, floats(1, 2, 3, 4)) == 0
        guest.memory.write(DATA, bytes(16))
        assert await guest.call("compute", context) == 0
        assert (await guest.output(context))[2] == floats(3, 5, 7, 9)


async def test_several_inputs_and_outputs(ephemeral: Program, models: FixedModels) -> None:
    async with Caller(ephemeral, models) as guest:
        context = await guest.context("add")
        assert await guest.set_input(context, 1, (2, 3), F32, floats(1, 2, 3, 4, 5, 6)) == 0
        assert await guest.set_input(context, 0, (2, 3), F32, floats(*[10] * 6)) == 0
        assert await guest.call("compute", context) == 0
        assert await guest.output(context, 0) == (0, 24, floats(11, 12, 13, 14, 15, 16))
        assert await guest.output(context, 1) == (0, 24, floats(10, 20, 30, 40, 50, 60))
        assert (await guest.output(context, 2))[0] == 1


async def test_a_model_that_must_be_waited_for(ephemeral: Program, models: FixedModels) -> None:
    models.wait = True
    async with Caller(ephemeral, models) as guest:
        context = await guest.context()
        assert await guest.set_input(context, 0, (1, 4), F32, bytes(16)) == 0


# --- the table ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "unknown", "../linear", "linear\0", "LINEAR", "x" * 1000])
async def test_an_unknown_name_is_8(ephemeral: Program, models: FixedModels, name: str) -> None:
    async with Caller(ephemeral, models) as guest:
        guest.memory.set_u32(OUT, 0xDEADBEEF)
        assert await guest.named(name) == 8
        assert guest.out == 0xDEADBEEF
        assert guest.notes == ["wasi-nn load_by_name answered 8: no such model."]


async def test_a_name_that_is_no_text_is_8(ephemeral: Program, models: FixedModels) -> None:
    async with Caller(ephemeral, models) as guest:
        assert await guest.named(b"\xff\xfe") == 8


@pytest.mark.parametrize("number", [7, 8, 100, 255, 256, 2**31, 2**32 - 1])
async def test_a_wrong_encoding_is_2(ephemeral: Program, models: FixedModels, number: int) -> None:
    models.allow_load = True
    async with Caller(ephemeral, models) as guest:
        assert await guest.load(onnx_models.linear(), encoding=number) == 2
        assert f"there is no graph encoding {number}" in guest.notes[0]


@pytest.mark.parametrize("number", [3, 255, 2**32 - 1])
async def test_a_target_out_of_range_is_1(ephemeral: Program, models: FixedModels, number: int) -> None:
    models.allow_load = True
    async with Caller(ephemeral, models) as guest:
        assert await guest.load(onnx_models.linear(), target=number) == 1


@pytest.mark.parametrize("number", [6, 7, 128, 255])
async def test_a_tensor_type_out_of_range_is_1(ephemeral: Program, models: FixedModels, number: int) -> None:
    async with Caller(ephemeral, models) as guest:
        context = await guest.context()
        assert await guest.set_input(context, 0, (1, 4), number, bytes(16)) == 1
        assert "the types are 0 f16, 1 f32, 2 f64, 3 u8, 4 i32, 5 i64" in guest.notes[0]


@pytest.mark.parametrize("handle", [0, 1, 2**31, 2**32 - 1])
async def test_a_bad_handle_is_1(ephemeral: Program, models: FixedModels, handle: int) -> None:
    async with Caller(ephemeral, models) as guest:
        await guest.context()
        record = guest.tensor((1, 4), F32, bytes(16))
        for name, values in {
            "init_execution_context": (handle, OUT),
            "set_input": (handle, 0, record),
            "compute": (handle,),
            "get_output": (handle, 0, BUFFER, 64, OUT),
            "unload": (handle,),
            "finalize_execution_context": (handle,),
        }.items():
            assert await guest.call(name, *values) == 1, name
        assert len(guest.notes) == 6


async def test_a_pointer_out_of_bounds_is_1(ephemeral: Program, models: FixedModels) -> None:
    async with Caller(ephemeral, models) as guest:
        context = await guest.context()
        for name, values in {
            "load_by_name": (SIZE - 2, 4, OUT),
            "init_execution_context": (context, SIZE - 3),
            "set_input": (context, 0, SIZE - 19),
            "load_by_name_with_config": (NAME, 6, SIZE, 1, OUT),
        }.items():
            assert await guest.call(name, *values) == 1, name
        assert all("outside the function's memory" in note or "is no graph" in note for note in guest.notes)


async def test_a_bad_pointer_for_a_handle_makes_none(ephemeral: Program, models: FixedModels) -> None:
    async with Caller(ephemeral, models, Limits(nn_contexts=1, cpu_ms=5000)) as guest:
        guest.memory.write(NAME, b"linear")
        assert await guest.call("load_by_name", NAME, 6, SIZE - 3) == 1
        assert await guest.call("load_by_name", NAME, 6, OUT) == 0
        graph = guest.out
        assert await guest.call("init_execution_context", graph, SIZE - 3) == 1
        assert await guest.call("init_execution_context", graph, OUT) == 0


async def test_a_bad_pointer_is_1_whatever_the_policy(ephemeral: Program, models: FixedModels) -> None:
    async with Caller(ephemeral, models) as guest:
        for array, count, out in ((SIZE - 7, 1, OUT), (SIZE - 8, 3, OUT), (0, 2**30, OUT), (0, 1, SIZE - 3)):
            assert await guest.call("load", array, count, 1, 0, out) == 1
            assert "outside the function's memory" in guest.notes[-1]


async def test_a_buffer_that_is_too_small_is_7_and_told(ephemeral: Program, models: FixedModels) -> None:
    async with Caller(ephemeral, models) as guest:
        context = await guest.context()
        assert await guest.set_input(context, 0, (1, 4), F32, floats(1, 2, 3, 4)) == 0
        assert await guest.call("compute", context) == 0
        guest.memory.write(BUFFER, b"\xaa" * 32)
        for size in (0, 1, 15):
            assert await guest.output(context, size=size) == (7, 16, b"")
            assert guest.memory.read(BUFFER, 32) == b"\xaa" * 32
        assert await guest.output(context, size=16) == (0, 16, floats(3, 5, 7, 9))
        assert guest.memory.read(BUFFER + 16, 16) == b"\xaa" * 16


async def test_the_size_can_be_asked_for_alone(ephemeral: Program, models: FixedModels) -> None:
    async with Caller(ephemeral, models) as guest:
        context = await guest.context()
        assert await guest.set_input(context, 0, (1, 4), F32, bytes(16)) == 0
        assert await guest.call("compute", context) == 0
        assert await guest.call("get_output", context, 0, 0, 0, OUT) == 7
        assert guest.out == 16


async def test_a_framework_that_fails_is_5_and_explained(ephemeral: Program, models: FixedModels) -> None:
    async with Caller(ephemeral, models) as guest:
        context = await guest.context("gather")
        assert await guest.set_input(context, 0, (1,), I64, struct.pack("<q", 9)) == 0
        assert await guest.call("compute", context) == 5
        (note,) = guest.notes
        assert "indices element out of data bounds" in note  # its own words
        assert "an input holds the index 9" in note  # what they mean
        assert (await guest.output(context))[0] == 1


async def test_compute_before_the_inputs_are_set_is_1(ephemeral: Program, models: FixedModels) -> None:
    async with Caller(ephemeral, models) as guest:
        context = await guest.context("add")
        assert await guest.call("compute", context) == 1
        assert "0 (x: f32 [N,3]), 1 (y: f32 [N,3])" in guest.notes[0]
        assert (await guest.output(context))[:2] == (1, 0xDEADBEEF)


async def test_an_ill_fitting_tensor_is_1_and_explained(ephemeral: Program, models: FixedModels) -> None:
    async with Caller(ephemeral, models) as guest:
        context = await guest.context()
        assert await guest.set_input(context, 0, (4,), F32, bytes(16)) == 1
        assert guest.notes == [
            (
                'wasi-nn set_input answered 1: input "x": expected f32 [1,4], got f32 [4] in 16 bytes. '
                "Cause: the batch dimension is missing. Remedy: send [1,4]; the bytes stay the same; "
                'or declare convert = ["add_batch"] in [models.NAME.inputs.x].'
            )
        ]


class Failing(OnnxBackend):
    """A backend that fails as backends do."""

    error: WasmindError

    async def infer(self, inputs: tuple[Tensor, ...], deadline: float, tenant: str) -> object:  # type: ignore[override]
        raise self.error


@pytest.mark.parametrize(
    ("error", "errno"),
    [
        (ModelDied("the model's process died: out of memory"), 5),
        (ModelUnavailable("it is loading"), 5),
        (InferenceTimeout("it took longer than 2 s"), 5),
        (ModelBusy("its queue is full"), 4),
        (TooLarge("the outputs are over the limit"), 7),
        (WasmindError("something else"), 5),
    ],
)
async def test_every_failure_of_a_backend_is_an_errno(
    ephemeral: Program, error: WasmindError, errno: int
) -> None:
    backend = Failing(onnx_models.linear())
    backend.error = error
    async with Caller(ephemeral, FixedModels(linear=Graph("linear", backend))) as guest:
        context = await guest.context()
        assert await guest.set_input(context, 0, (1, 4), F32, bytes(16)) == 0
        assert await guest.call("compute", context) == errno
        assert error.message in guest.notes[0]
        assert await guest.call("compute", context) == errno  # and the guest lives on


async def test_a_guest_without_memory_gets_3(engine: Engine, models: FixedModels) -> None:
    program = load_program(engine, door(witx.nn, memory=""))
    models.allow_load = True
    async with Run(program, models) as run:
        graph = run.session.load_by_name("linear")
        assert isinstance(graph, int)
        context = run.session.init_execution_context(graph)
        for name, values in {
            "load": (0, 1, 1, 0, 0),
            "load_by_name": (0, 6, 0),
            "load_by_name_with_config": (0, 6, 0, 0, 0),
            "init_execution_context": (graph, 0),
            "set_input": (context, 0, 0),
        }.items():
            assert await run.call(name, *values) == 3, name
        run.session.context(context).set_input(0, TensorType.F32, (1, 4), bytes(16))
        assert await run.call("compute", context) == 0  # it has no pointers
        assert await run.call("get_output", context, 0, 0, 0, 0) == 3
        assert "exports no memory" in run.notes[0]


def test_every_code_has_a_number() -> None:
    assert set(witx.ERRNO) == set(NnCode)
    assert set(witx.ERRNO.values()) <= {*range(1, 9), 100, 101, 102}


# --- the log ------------------------------------------------------------------------------------------------


async def test_a_flood_of_failures_is_explained_only_so_often(
    ephemeral: Program, models: FixedModels
) -> None:
    async with Caller(ephemeral, models) as guest:
        for _ in range(500):
            assert await guest.call("compute", 7) == 1
        assert len(guest.notes) == 33
        assert guest.notes[-1] == "more than 32 calls of this run failed; the others are not explained"


async def test_what_a_guest_says_reaches_the_log_escaped(ephemeral: Program, models: FixedModels) -> None:
    async with Caller(ephemeral, models) as guest:
        guest.memory.write(NAME, b"linear")
        config = b'{"\\u001b[31mred\\nline": 1}'
        guest.memory.write(DATA, config)
        assert await guest.call("load_by_name_with_config", NAME, 6, DATA, len(config), OUT) == 0
        assert "\x1b" not in guest.notes[0]
        assert "\n" not in guest.notes[0]
        assert "\\e[31mred\\nline" in guest.notes[0]
