"""Row 2: a guest that grows its memory without end gets its limit and no more; the host's own memory stays
flat.
"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.sandbox import Desk
from wasmind.config import Limits, Size
from wasmind.errors import CpuBudgetSpent, GuestTrap
from wasmind.sandbox import Guest, Program, compile_program_now, from_text

if TYPE_CHECKING:
    from wasmind.sandbox import Engine

MIB = 1 << 20
BOMBS = {
    "by pages": "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))",
    "by doubling": """(loop $l (br_if $l (i32.ne (memory.grow (memory.size)) (i32.const -1))))
                      (loop $m (br_if $m (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))""",
    "at once": "(drop (memory.grow (i32.const 65535)))",
    "and on": "(loop $l (drop (memory.grow (i32.const 65535))) (drop (memory.grow (i32.const -1))) (br $l))",
    "writing": """(loop $l (i32.store (i32.mul (local.get 0) (i32.const 65536)) (i32.const 1))
                    (local.set 0 (i32.add (local.get 0) (i32.const 1)))
                    (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))""",
}


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def bomb(engine: Engine, cache: Path, body: str) -> Program:
    wasm = from_text(
        f'(module (memory (export "memory") 1) (func (export "_start") (local i32) {body} (unreachable)))'
    )
    return Program.load(engine, compile_program_now(wasm, cache, []), [])


@pytest.mark.parametrize("kind", BOMBS)
async def test_growth_ends_at_the_limit_and_the_host_stays_flat(
    engine: Engine, tmp_path: Path, kind: str
) -> None:
    program = bomb(engine, tmp_path / "cache", BOMBS[kind])
    limits = Limits(memory=Size(32 * MIB), cpu_ms=20)
    before = 0
    for round_ in range(30):
        guest = Guest(program, limits, Desk())
        with pytest.raises((GuestTrap, CpuBudgetSpent)):
            await guest.run()
        guest.close()
        assert guest.figures.memory_peak <= 32 * MIB
        if round_ == 5:
            gc.collect()
            before = resident()
    gc.collect()
    assert resident() - before < 16 * MIB
    program.close()


async def test_many_bombs_at_once_take_no_memory_that_they_do_not_write(
    engine: Engine, tmp_path: Path
) -> None:
    program = bomb(engine, tmp_path / "cache", BOMBS["by doubling"].replace("(unreachable)", ""))
    gc.collect()
    before = resident()
    guests = [Guest(program, Limits(memory=Size(128 * MIB)), Desk()) for _ in range(50)]
    for guest in guests:
        with pytest.raises(GuestTrap):
            await guest.run()
    assert resident() - before < 64 * MIB
    assert all(guest.figures.memory_peak == 128 * MIB for guest in guests)
    program.close()


async def test_a_table_cannot_take_what_a_memory_cannot(engine: Engine, tmp_path: Path) -> None:
    wasm = from_text(
        """(module (table 1 funcref) (func (export "_start")
             (loop $l (br_if $l (i32.ne (table.grow (ref.null func) (i32.const 1000)) (i32.const -1))))
             (unreachable)))"""
    )
    program = Program.load(engine, compile_program_now(wasm, tmp_path / "cache", []), [])
    before = resident()
    for _ in range(20):
        guest = Guest(program, Limits(table_elements=50_000), Desk())
        with pytest.raises(GuestTrap):
            await guest.run()
    assert resident() - before < 16 * MIB
    program.close()
