"""Row 13: another tenant's model, and what is no name, get the answer and the time of an unknown name."""

from __future__ import annotations

import statistics
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from support import onnx_models
from support.backend import FixedModels, OnnxBackend
from support.caller import NAME, OUT, SIZE, Caller
from support.guests import door, load
from wasmind.config import Limits, Size
from wasmind.guest_api.wasi_nn import witx
from wasmind.nn.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.sandbox import Engine, Program

GRAPH = Graph("linear", OnnxBackend(onnx_models.linear()))


@pytest.fixture
def ephemeral(program: Callable[[str], Program]) -> Program:
    return program("wasi_ephemeral_nn")


@pytest.mark.parametrize(
    "name",
    [
        b"theirs",
        b"../mine",
        b"../../etc/passwd",
        b"/models/mine",
        b"./mine",
        b"mine/.",
        b"mine\0",
        b"mine\0.onnx",
        b"\0",
        b"",
        b"\xff\xfe\xfd",
        b"mine\xc3",
        b"mine\xe2\x80\x8b",
        b"MINE",
        b" mine",
        b"mine\n",
        b"m" * 257,
        b"m" * 65536,
    ],
)
async def test_the_answer_is_that_of_an_unknown_name(ephemeral: Program, name: bytes) -> None:
    async with Caller(ephemeral, FixedModels(mine=GRAPH)) as guest:
        assert await guest.named(b"unknown") == 8
        assert await guest.named(name) == 8
        assert guest.notes[0] == guest.notes[1]
        assert await guest.named(b"mine") == 0


async def test_the_time_is_that_of_an_unknown_name(ephemeral: Program) -> None:
    """Both are one look-up in the same table; the medians of interleaved calls show no third thing."""
    mine, theirs = FixedModels(mine=GRAPH), FixedModels(theirs=GRAPH)
    assert theirs.resolve("theirs") is GRAPH  # it exists, for another tenant
    times: dict[bytes, list[int]] = {b"theirs": [], b"nobody": []}
    async with Caller(ephemeral, mine, Limits(cpu_ms=60_000)) as guest:
        for _ in range(2000):
            for name, found in times.items():
                guest.memory.write(NAME, name)
                began = time.perf_counter_ns()
                assert await guest.call("load_by_name", NAME, len(name), OUT) == 8
                found.append(time.perf_counter_ns() - began)
    theirs_ns, nobody_ns = (statistics.median(found) for found in times.values())
    assert abs(theirs_ns - nobody_ns) < 0.25 * nobody_ns


async def test_a_name_longer_than_memory_is_a_bad_pointer(ephemeral: Program) -> None:
    async with Caller(ephemeral, FixedModels(mine=GRAPH)) as guest:
        for pointer, length in ((0, 2**32 - 1), (NAME, SIZE), (2**32 - 4, 8)):
            assert await guest.call("load_by_name", pointer, length, OUT) == 1


async def test_a_name_of_many_megabytes_is_not_read(engine: Engine) -> None:
    """It lies inside memory, so it is an unknown name; only its beginning is ever copied."""
    wide = load(engine, door(witx.nn, '(memory (export "memory") 1600)'))
    async with Caller(wide, FixedModels(mine=GRAPH), Limits(memory=Size(128 << 20))) as guest:
        tracemalloc.start()
        try:
            assert await guest.call("load_by_name", 4096, 99 << 20, OUT) == 8
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 1 << 20
