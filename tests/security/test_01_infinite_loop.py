"""Row 1: a guest that loops for ever is killed within its CPU budget and one tick; its neighbours are
served.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from support.sandbox import GUEST, Desk, host
from wasmind.config import Limits
from wasmind.errors import CpuBudgetSpent
from wasmind.sandbox import Engine, Guest, Program, compile_program_now, from_text

if TYPE_CHECKING:
    from pathlib import Path

LOOPS = {
    "empty loop": '(func (export "_start") (loop $l (br $l)))',
    "nested loops": '(func (export "_start") (loop $a (loop $b (br_if $b (i32.const 1)) (br $a))))',
    "tail recursion": '(func $f (export "_start") (return_call $f))',
    "indirect calls": """(table 1 funcref) (elem (i32.const 0) $f)
        (func $f) (func (export "_start") (loop $l (call_indirect (i32.const 0)) (br $l)))""",
    "host calls": """(func (export "_start")
        (loop $l (drop (call $add (i32.const 1) (i32.const 2))) (br $l)))""",
    "fills memory": """(func (export "_start")
        (loop $l (memory.fill (i32.const 0) (i32.const 7) (i32.const 65536)) (br $l)))""",
    "start function": '(func $f (loop $l (br $l))) (start $f) (func (export "_start"))',
}
TICK_NS = 1_000_000


def looping(engine: Engine, cache: Path, body: str) -> Program:
    wasm = from_text(
        f'(module (import "host" "add" (func $add (param i32 i32) (result i32))) (memory 1) {body})'
    )
    return Program.load(engine, compile_program_now(wasm, cache, [host]), [host])


async def stopped(program: Program, budget_ms: float) -> Guest[Desk]:
    guest = Guest(program, Limits(cpu_ms=budget_ms), Desk())
    with pytest.raises(CpuBudgetSpent):
        await guest.run()
    guest.close()
    return guest


@pytest.mark.parametrize("kind", LOOPS)
async def test_every_kind_of_loop_is_stopped(engine: Engine, tmp_path: Path, kind: str) -> None:
    program = looping(engine, tmp_path / "cache", LOOPS[kind])
    over = []
    for _ in range(3):
        guest = await stopped(program, 20)
        over.append(guest.figures.cpu_ns - 20_000_000)
    assert min(over) < 3 * TICK_NS  # of three runs, since other processes may hold the ticks back
    program.close()


async def test_neighbours_are_served_meanwhile(engine: Engine, tmp_path: Path) -> None:
    loop = looping(engine, tmp_path / "cache", LOOPS["empty loop"])
    neighbour = Program.load(
        engine, compile_program_now(from_text(GUEST), tmp_path / "cache", [host]), [host]
    )
    spinning = [asyncio.create_task(stopped(loop, 300)) for _ in range(4)]
    served, began = 0, time.monotonic()
    while not all(task.done() for task in spinning):
        guest = Guest(neighbour, Limits(), Desk())
        await guest.run()
        guest.close()
        served += 1
        await asyncio.sleep(0)
    await asyncio.gather(*spinning)
    assert served > 100, time.monotonic() - began
    loop.close()
    neighbour.close()
