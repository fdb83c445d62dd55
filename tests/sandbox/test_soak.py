"""Tens of thousands of guests that end in every way there is leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.sandbox import Desk
from wasmind.config import Limits
from wasmind.errors import WasmindError
from wasmind.sandbox import Guest

if TYPE_CHECKING:
    from wasmind.sandbox import Engine, Program

LIMITS = Limits(cpu_ms=20)


async def ends_somehow(program: Program, kind: str) -> None:
    guest = Guest(program, LIMITS, Desk())
    guest.host.act = lambda guest: guest.call_nested("allocate", 4)
    try:
        await guest.start()
        if kind == "cancelled":
            task = asyncio.create_task(guest.call("wait", 1))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        elif kind == "awaited":
            asyncio.get_running_loop().call_soon(guest.host.gate.set)
            await guest.call("wait", 1)
        elif kind == "forgotten":
            return
        else:
            await guest.call(kind, *([1] if kind in ("leave", "deep", "lower", "grow") else []))
    except WasmindError:
        pass
    finally:
        if kind != "forgotten":
            guest.close()


def resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.slow
async def test_no_memory_and_no_descriptor_is_left(program: Program, engine: Engine) -> None:
    kinds = ["_start", "act", "unreachable", "leave", "lower", "grow", "cancelled", "awaited", "forgotten"]
    chosen = random.Random(7)

    async def many(count: int) -> None:
        for _ in range(count // 50):
            some = (chosen.choice(kinds) for _ in range(50))
            await asyncio.gather(*(ends_somehow(program, kind) for kind in some))

    await many(10_000)
    for kind in ("deep", "spin"):
        await ends_somehow(program, kind)
    memory, files = resident(), len(os.listdir("/proc/self/fd"))
    await many(50_000)
    assert resident() - memory < 3 << 20
    assert len(os.listdir("/proc/self/fd")) == files
    assert engine.live == 0
