from __future__ import annotations

import asyncio
import struct
from math import prod

import pytest

from support import onnx_models
from support.backend import OnnxBackend
from wasmind.errors import InvalidArgument, InvalidTensor, RuntimeFailed, TooLarge
from wasmind.nn.context import ExecutionContext, Timing
from wasmind.nn.graph import Graph
from wasmind.nn.memory import TENSOR_COST, Memory
from wasmind.nn.tensor import TensorType

F32, U8, I64, BOOL, F64 = TensorType.F32, TensorType.U8, TensorType.I64, TensorType.BOOL, TensorType.F64


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def read(data: bytes | memoryview | bytearray) -> tuple[float, ...]:
    return struct.unpack(f"<{len(data) // 4}f", data)


class Made:
    """A context over a real session."""

    def __init__(self, model: bytes, limit: int = 1 << 20, delay: float = 0.0) -> None:
        self.backend = OnnxBackend(model, delay)
        self.memory = Memory(limit)
        self.timing = Timing()
        self.context = ExecutionContext(Graph("model", self.backend), self.memory, self.timing, "acme")


@pytest.fixture
def linear() -> Made:
    return Made(onnx_models.linear())


@pytest.fixture
def add() -> Made:
    return Made(onnx_models.add())


async def test_compute_gives_the_outputs(linear: Made) -> None:
    linear.context.set_input(0, F32, (1, 4), floats(1, 2, 3, 4))
    await linear.context.compute()
    output = linear.context.output(0)
    assert (output.type, output.dims, read(output.data)) == (F32, (1, 4), (3, 5, 7, 9))
    assert linear.context.outputs() == (("y", output),)
    assert linear.backend.tenants == ["acme"]


async def test_an_input_is_a_snapshot(linear: Made) -> None:
    """What the guest does to its memory after set_input does not change what is computed."""
    data = bytearray(floats(1, 2, 3, 4))
    linear.context.set_input(0, F32, (1, 4), memoryview(data))
    data[:] = bytes(16)
    await linear.context.compute()
    assert read(linear.context.output(0).data) == (3, 5, 7, 9)


async def test_an_input_stays_set_for_the_next_computation(add: Made) -> None:
    add.context.set_input(0, F32, (1, 3), floats(1, 2, 3))
    add.context.set_input(1, F32, (1, 3), floats(10, 20, 30))
    await add.context.compute()
    assert read(add.context.output(0).data) == (11, 22, 33)
    add.context.set_input(0, F32, (1, 3), floats(4, 5, 6))
    await add.context.compute()
    assert read(add.context.output(0).data) == (14, 25, 36)
    assert read(add.context.output(1).data) == (40, 100, 180)


async def test_memory_for_an_input_of_the_same_length_is_used_again(linear: Made) -> None:
    for start in range(5):
        linear.context.set_input(0, F32, (1, 4), floats(start, 0, 0, 0))
        await linear.context.compute()
        assert read(linear.context.output(0).data)[0] == 2 * start + 1
    assert linear.backend.leased == 1


async def test_another_length_takes_other_memory(add: Made) -> None:
    for rows in (1, 2, 3, 2):
        for index in (0, 1):
            add.context.set_input(index, F32, (rows, 3), bytes(12 * rows))
        await add.context.compute()
        assert add.context.output(0).dims == (rows, 3)
    assert add.backend.held == 3  # two inputs and the outputs
    add.context.close()
    assert add.backend.held == 0


async def test_a_refused_input_leaves_the_one_before_it(linear: Made) -> None:
    linear.context.set_input(0, F32, (1, 4), floats(1, 2, 3, 4))
    with pytest.raises(InvalidTensor):
        linear.context.set_input(0, F32, (1, 4), bytes(15))
    await linear.context.compute()
    assert read(linear.context.output(0).data) == (3, 5, 7, 9)


@pytest.mark.parametrize("index", [1, 2, -1, 0xFFFFFFFF, 2**64])
def test_an_index_beyond_the_inputs_is_refused_before_memory_is_taken(linear: Made, index: int) -> None:
    with pytest.raises(InvalidArgument, match=f"no input {index}") as caught:
        linear.context.set_input(index, F32, (1, 4), bytes(16))
    assert caught.value.cause == "its inputs, from index 0, are x (f32 [1,4])"
    assert linear.backend.leased == 0
    assert linear.memory.used == 0


@pytest.mark.parametrize("given", [(), (0,), (1,)])
async def test_a_missing_input_is_named(add: Made, given: tuple[int, ...]) -> None:
    for index in given:
        add.context.set_input(index, F32, (1, 3), bytes(12))
    with pytest.raises(InvalidArgument, match="compute of") as caught:
        await add.context.compute()
    for index, name in enumerate("xy"):
        assert (f"{index} ({name}: f32 [N,3])" in caught.value.message) == (index not in given)
    assert caught.value.cause == f"{len(given)} of 2 inputs are set"
    assert add.backend.calls == 0


async def test_inputs_must_agree_on_symbols(add: Made) -> None:
    add.context.set_input(0, F32, (1, 3), bytes(12))
    add.context.set_input(1, F32, (2, 3), bytes(24))
    with pytest.raises(InvalidTensor, match="the dimension N is 1"):
        await add.context.compute()
    assert add.backend.calls == 0


def test_names_and_indices_find_an_input(add: Made) -> None:
    assert [add.context.index_of(name) for name in ("x", "y", "0", "1")] == [0, 1, 0, 1]
    for name in ("z", "2", "-1", "", "\u0660", "0" * 50, "1e0", " 1"):
        with pytest.raises(InvalidArgument, match="has no input"):
            add.context.index_of(name)


def test_a_name_that_looks_like_an_index_is_a_name() -> None:
    made = Made(
        onnx_models.model(
            [onnx_models.node("Add", ["1", "0"], ["y"])],
            [("1", onnx_models.FLOAT, [1]), ("0", onnx_models.FLOAT, [1])],
            [("y", onnx_models.FLOAT, [1])],
        )
    )
    assert made.context.index_of("1") == 0
    assert made.context.index_of("0") == 1


@pytest.mark.parametrize("index", [0, 1])
def test_there_is_no_output_before_a_computation(linear: Made, index: int) -> None:
    with pytest.raises(InvalidArgument, match="not there yet"):
        linear.context.output(index)
    with pytest.raises(InvalidArgument, match="not there yet"):
        linear.context.outputs()


@pytest.mark.parametrize("index", [1, -1, 0xFFFFFFFF])
async def test_an_index_beyond_the_outputs_is_refused(linear: Made, index: int) -> None:
    linear.context.set_input(0, F32, (1, 4), bytes(16))
    await linear.context.compute()
    with pytest.raises(InvalidArgument, match=f"no output {index}"):
        linear.context.output(index)


async def test_the_outputs_before_a_failed_computation_are_gone() -> None:
    """A guest that overlooks an error reads no old answer as the new one."""
    made = Made(onnx_models.gather())
    made.context.set_input(0, I64, (1,), struct.pack("<q", 3))
    await made.context.compute()
    assert read(made.context.output(0).data) == (6, 7)
    made.context.set_input(0, I64, (1,), struct.pack("<q", 4))
    with pytest.raises(RuntimeFailed) as caught:
        await made.context.compute()
    assert "the index 4" in str(caught.value.cause)
    with pytest.raises(InvalidArgument, match="not there yet"):
        made.context.output(0)


async def test_what_is_computed_is_counted(linear: Made) -> None:
    linear.context.set_input(0, F32, (1, 4), bytes(16))
    for _ in range(3):
        await linear.context.compute()
    timing = linear.timing
    assert timing.count == 3
    assert timing.waited_ns >= timing.compute_ns > 0
    assert timing.queue_ns == 3000


async def test_a_failed_computation_counts_as_waiting() -> None:
    made = Made(onnx_models.gather(), delay=0.002)
    made.context.set_input(0, I64, (1,), struct.pack("<q", 4))
    with pytest.raises(RuntimeFailed):
        await made.context.compute()
    assert made.timing.count == 1
    assert made.timing.waited_ns >= 2_000_000
    assert made.timing.compute_ns == 0


# --- memory ----------------------------------------------------------------------------------------------


async def test_inputs_and_outputs_are_counted_until_they_go(linear: Made) -> None:
    linear.context.set_input(0, F32, (1, 4), bytes(16))
    assert linear.memory.used == 16 + TENSOR_COST
    for _ in range(2):
        await linear.context.compute()
        assert linear.memory.used == 2 * (16 + TENSOR_COST)
    linear.context.close()
    assert linear.memory.used == 0
    linear.context.close()
    assert linear.memory.used == 0


def test_an_input_over_the_limit_is_refused_before_memory_is_taken() -> None:
    made = Made(onnx_models.add(), limit=1000)
    with pytest.raises(TooLarge, match="over the function's limit") as caught:
        made.context.set_input(0, F32, (100, 3), bytes(1200))
    assert caught.value.remedy == "close contexts that are done with, or raise limits.nn_memory"
    assert made.backend.leased == 0
    assert made.memory.used == 0


async def test_outputs_over_the_limit_are_refused_and_released() -> None:
    made = Made(onnx_models.linear(), limit=16 + TENSOR_COST + 10)
    made.context.set_input(0, F32, (1, 4), bytes(16))
    with pytest.raises(TooLarge):
        await made.context.compute()
    assert made.backend.held == 1
    assert made.memory.used == 16 + TENSOR_COST


async def test_a_context_closed_while_it_computes_keeps_nothing() -> None:
    made = Made(onnx_models.linear(), delay=0.01)
    made.context.set_input(0, F32, (1, 4), bytes(16))
    computing = asyncio.create_task(made.context.compute())
    await asyncio.sleep(0.001)
    made.context.close()
    await computing
    assert made.backend.held == 0
    assert made.memory.used == 0


async def test_a_cancelled_computation_reaches_the_backend() -> None:
    made = Made(onnx_models.linear(), delay=10)
    made.context.set_input(0, F32, (1, 4), bytes(16))
    computing = asyncio.create_task(made.context.compute())
    await asyncio.sleep(0.001)
    computing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await computing
    assert made.backend.cancelled == 1
    assert made.timing.waited_ns > 0
    made.context.close()
    assert made.backend.held == 0


# --- types -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "type_"),
    [(onnx_models.U8, U8), (onnx_models.F64, F64), (onnx_models.I64, I64), (onnx_models.F16, TensorType.F16)],
)
async def test_bits_pass_unchanged(kind: int, type_: TensorType) -> None:
    made = Made(onnx_models.identity(kind, ("N", 3)))
    data = bytes(range(1, 6 * type_.size + 1))
    made.context.set_input(0, type_, (2, 3), data)
    await made.context.compute()
    output = made.context.output(0)
    assert (output.type, output.dims, bytes(output.data)) == (type_, (2, 3), data)
    assert len(data) == prod((2, 3)) * type_.size


async def test_a_model_of_bools_takes_bytes() -> None:
    made = Made(onnx_models.identity(BOOL_KIND, (3,)))
    made.context.set_input(0, U8, (3,), b"\0\1\1")
    await made.context.compute()
    assert (made.context.output(0).type, bytes(made.context.output(0).data)) == (BOOL, b"\0\1\1")
    with pytest.raises(InvalidTensor, match="a bool is a byte of 0 or 1"):
        made.context.set_input(0, U8, (3,), b"\0\1\2")


BOOL_KIND = onnx_models.BOOL
