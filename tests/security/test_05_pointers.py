"""Row 5: bad pointers in every argument, and pointer plus length that wraps, are errno 1 and nothing else."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import onnx_models
from support.backend import FixedModels, OnnxBackend
from support.caller import BUFFER, DATA, DIMS, F32, NAME, OUT, RECORD, SIZE, Caller
from support.guests import Run
from wasmind.guest_api.wasi import preview1
from wasmind.guest_api.wasi.errno import FAULT
from wasmind.guest_api.wasi_nn import witx
from wasmind.nn.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.sandbox import Program

MODEL = onnx_models.linear()
EDGES = [0, 1, SIZE - 1, SIZE, SIZE + 1, 2**31 - 1, 2**31, 2**32 - 16, 2**32 - 4, 2**32 - 1]
words = st.one_of(st.sampled_from(EDGES), st.integers(0, 2**32 - 1), st.integers(SIZE - 64, SIZE + 64))
checks = [HealthCheck.function_scoped_fixture]
shared = settings(suppress_health_check=checks, deadline=None, max_examples=50)


@pytest.fixture
def ephemeral(program: Callable[[str], Program]) -> Program:
    return program("wasi_ephemeral_nn")


@pytest.fixture
def wasi(program: Callable[[str], Program]) -> Program:
    return program("wasi_snapshot_preview1")


def models() -> FixedModels:
    made = FixedModels(linear=Graph("linear", OnnxBackend(MODEL)))
    made.allow_load = True
    return made


def outside(*spans: tuple[int, int]) -> bool:
    """Whether one of these (pointer, length) is not wholly inside memory."""
    return any(pointer + length > SIZE for pointer, length in spans)


@shared
@given(words, words, words)
def test_load_by_name(ephemeral: Program, name: int, length: int, out: int) -> None:
    async def run() -> None:
        async with Caller(ephemeral, models()) as guest:
            for config in ((), (0, 0)):
                call = "load_by_name_with_config" if config else "load_by_name"
                errno = await guest.call(call, name, length, *config, out)
                assert errno == (1 if outside((name, length), (out, 4)) else 8), guest.notes

    asyncio.run(run())


@shared
@given(words, words)
def test_a_configuration(ephemeral: Program, config: int, length: int) -> None:
    async def run() -> None:
        async with Caller(ephemeral, models()) as guest:
            guest.memory.write(NAME, b"linear")
            errno = await guest.call("load_by_name_with_config", NAME, 6, config, length, OUT)
            assert errno == (1 if outside((config, length)) else errno)
            assert errno in (0, 1, 7)

    asyncio.run(run())


@shared
@given(words, words, st.lists(st.tuples(words, words), min_size=1, max_size=2), words)
def test_load(ephemeral: Program, array: int, count: int, builders: list[tuple[int, int]], out: int) -> None:
    async def run() -> None:
        async with Caller(ephemeral, models()) as guest:
            errno = await guest.call("load", array, count, 1, 0, out)
            if outside((array, 8 * count), (out, 4)):
                assert errno == 1
            guest.memory.write(RECORD, b"".join(struct.pack("<II", *builder) for builder in builders))
            errno = await guest.call("load", RECORD, len(builders), 1, 0, OUT)
            assert errno == 1 if outside(*builders) else errno in (1, 2)

    asyncio.run(run())


@shared
@given(words)
def test_init_execution_context(ephemeral: Program, out: int) -> None:
    async def run() -> None:
        async with Caller(ephemeral, models()) as guest:
            assert await guest.named() == 0
            errno = await guest.call("init_execution_context", guest.out, out)
            assert errno == (1 if outside((out, 4)) else 0)

    asyncio.run(run())


@shared
@given(words, words, words, words, words)
def test_set_input(ephemeral: Program, record: int, dims: int, rank: int, data: int, length: int) -> None:
    async def run() -> None:
        async with Caller(ephemeral, models()) as guest:
            context = await guest.context()
            if outside((record, 20)):
                assert await guest.call("set_input", context, 0, record) == 1
            guest.memory.write(RECORD, struct.pack("<IIBxxxII", dims, rank, F32, data, length))
            assert await guest.call("set_input", context, 0, RECORD) == 1
            # Each pointer alone, beside others that are right.
            guest.tensor((1, 4), F32, bytes(16))
            guest.memory.write(RECORD, struct.pack("<IIBxxxII", dims, 2, F32, DATA, 16))
            errno = await guest.call("set_input", context, 0, RECORD)
            assert errno == (1 if outside((dims, 8)) else errno)
            guest.memory.write(RECORD, struct.pack("<IIBxxxII", DIMS, 2, F32, data, 16))
            assert await guest.call("set_input", context, 0, RECORD) == (1 if outside((data, 16)) else 0)

    asyncio.run(run())


@shared
@given(words, words, words)
def test_get_output(ephemeral: Program, buffer: int, size: int, written: int) -> None:
    async def run() -> None:
        async with Caller(ephemeral, models()) as guest:
            context = await guest.context()
            assert await guest.set_input(context, 0, (1, 4), F32, bytes(16)) == 0
            assert await guest.call("compute", context) == 0
            errno = await guest.call("get_output", context, 0, buffer, size, written)
            assert errno == (1 if outside((buffer, size), (written, 4)) else 7 if size < 16 else 0)
            assert await guest.output(context) == (0, 16, struct.pack("<4f", 1, 1, 1, 1))

    asyncio.run(run())


@shared
@given(st.data())
def test_any_call_with_any_words(ephemeral: Program, data: st.DataObject) -> None:
    async def run() -> None:
        async with Caller(ephemeral, models()) as guest:
            context = await guest.context()
            own = st.sampled_from([context, context - 1, NAME, OUT, RECORD, BUFFER])
            for _ in range(8):
                host = data.draw(st.sampled_from(list(witx.nn)))
                values = [data.draw(st.one_of(own, words)) for _ in host.parameters]
                assert await guest.call(host.name, *values) in range(9), host.name

    asyncio.run(run())


POINTERS = {
    "args_sizes_get": (0, 1),
    "environ_sizes_get": (0, 1),
    "clock_res_get": (1,),
    "clock_time_get": (2,),
    "fd_fdstat_get": (1,),
    "fd_filestat_get": (1,),
    "fd_read": (1, 3),
    "fd_write": (1, 3),
    "random_get": (0,),
    "poll_oneoff": (0, 1, 3),
}
"""Which arguments are pointers that are always used."""
RIGHT = {
    "clock_res_get": (0, OUT),
    "clock_time_get": (0, 0, OUT),
    "fd_read": (0, RECORD, 1, OUT),
    "fd_write": (1, RECORD, 1, OUT),
    "fd_fdstat_get": (1, OUT),
    "fd_filestat_get": (1, OUT),
    "random_get": (BUFFER, 16),
    "poll_oneoff": (NAME, BUFFER, 1, OUT),
}


@pytest.mark.parametrize(("name", "places"), POINTERS.items())
async def test_the_pointers_of_preview_1(wasi: Program, name: str, places: tuple[int, ...]) -> None:
    for place in places:
        for pointer in (SIZE - 1, SIZE, 2**31, 2**32 - 4, 2**32 - 1):
            async with Run(wasi, stdin=b"hello", args=["a"], env={"A": "1"}) as run:
                values = list(RIGHT.get(name, (OUT,) * len(preview1.wasi[name].parameters)))
                values[place] = pointer
                assert await run.call(name, *values) == FAULT, (place, pointer)
                assert run.stdout.value == b""
