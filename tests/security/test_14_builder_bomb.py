"""Row 14: many builders over the same bytes are summed before a byte is copied."""

from __future__ import annotations

import struct
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from support.backend import FixedModels
from support.caller import OUT, RECORD, Caller
from support.guests import door, load
from wasmind.config import Limits, Size
from wasmind.guest_api.wasi_nn import witx

if TYPE_CHECKING:
    from wasmind.sandbox import Engine, Program

HUNDRED_MB = 100 << 20


@pytest.fixture(scope="module")
def wide(engine: Engine) -> Program:
    """A guest with 104 MiB of memory."""
    return load(engine, door(witx.nn, '(memory (export "memory") 1664)'))


@pytest.mark.parametrize(
    ("count", "length", "errno"),
    [
        (1, HUNDRED_MB, 7),
        (2, HUNDRED_MB, 7),
        (2, 33 << 20, 7),
        (3, HUNDRED_MB, 1),
        (1000, HUNDRED_MB, 1),
        (100_000, 1, 1),
        (13 << 20, 0, 1),
        (14 << 20, 0, 1),
        (2**29 - 1, HUNDRED_MB, 1),
        (2**32 - 1, HUNDRED_MB, 1),
    ],
)
async def test_builders_over_the_same_bytes(wide: Program, count: int, length: int, errno: int) -> None:
    models = FixedModels()
    models.allow_load = True
    async with Caller(wide, models, Limits(memory=Size(128 << 20))) as guest:
        guest.memory.write(RECORD, struct.pack("<II", 0, length) * min(count, 1000))
        tracemalloc.start()
        try:
            assert await guest.call("load", RECORD, count, 1, 0, OUT) == errno, guest.notes
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 1 << 20
    assert models.loaded == []


async def test_nothing_is_copied_where_loading_is_not_allowed(wide: Program) -> None:
    async with Caller(wide, FixedModels(), Limits(memory=Size(128 << 20), load_size=Size(1 << 30))) as guest:
        guest.memory.write(RECORD, struct.pack("<II", 0, HUNDRED_MB))
        tracemalloc.start()
        try:
            assert await guest.call("load", RECORD, 1, 1, 0, OUT) == 6
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 1 << 20
