"""Row 3: recursion without end is a trap in that guest, and never a crash of the process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from support.sandbox import GUEST, Desk, host
from wasmind.config import Limits
from wasmind.errors import GuestTrap
from wasmind.sandbox import Engine, Guest, Program, compile_program_now, from_text

if TYPE_CHECKING:
    from pathlib import Path

DEEP = """(module
  (import "host" "act" (func $act (result i32)))
  (import "host" "double_later" (func $later (param i32) (result i32)))
  (memory (export "memory") 1)
  (table 2 funcref) (elem (i32.const 0) $indirect $frames)
  (func $plain (export "plain") (param i32) (result i32) (i32.add (call $plain (local.get 0)) (i32.const 1)))
  (func $even (export "mutual") (param i32) (result i32) (i32.add (call $odd (local.get 0)) (i32.const 1)))
  (func $odd (param i32) (result i32) (i32.add (call $even (local.get 0)) (i32.const 1)))
  (func $indirect (export "indirect") (param i32) (result i32)
    (i32.add (call_indirect (param i32) (result i32) (local.get 0) (i32.const 0)) (i32.const 1)))
  (func $frames (export "frames") (param i32) (result i32)
    (local i64 i64 i64 i64 i64 i64 i64 i64 f64 f64 f64 f64)
    (i32.add (call $frames (local.get 0)) (i32.wrap_i64 (local.get 3))))
  (func $hosts (export "hosts") (param i32) (result i32)
    (i32.add (call $act) (call $hosts (local.get 0))))
  (func $waits (export "waits") (param i32) (result i32)
    (i32.add (call $later (local.get 0)) (call $waits (local.get 0))))
  (func $down (export "to") (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (i32.add (call $down (i32.sub (local.get 0) (i32.const 1))) (i32.const 1)))
      (else (call $act)))))"""


@pytest.fixture
def deep(engine: Engine, tmp_path: Path) -> Program:
    return Program.load(engine, compile_program_now(from_text(DEEP), tmp_path / "cache", [host]), [host])


def guest_of(program: Program) -> Guest[Desk]:
    guest = Guest(program, Limits(cpu_ms=20_000), Desk())
    guest.host.act = lambda guest: 1
    guest.host.gate.set()
    return guest


@pytest.mark.parametrize("kind", ["plain", "mutual", "indirect", "frames", "hosts", "waits"])
async def test_endless_recursion_is_a_trap(deep: Program, kind: str) -> None:
    for _ in range(3):
        guest = guest_of(deep)
        await guest.start()
        with pytest.raises(GuestTrap, match="the call stack is exhausted"):
            await guest.call(kind, 1)


async def test_at_any_depth_the_host_has_room_for_its_own_calls(deep: Program) -> None:
    """Host functions run on the guest's stack; theirs begins where the guest's ends."""

    def work(guest: Guest[Desk]) -> int:
        nested: Any = 1
        for _ in range(200):
            nested = [nested]
        return len(repr(nested)) - 400  # repr recurses in C

    async def reached(depth: int) -> bool:
        guest = guest_of(deep)
        guest.host.act = work
        await guest.start()
        try:
            return await guest.call("to", depth) == (depth + 1,)
        except GuestTrap:
            return False
        finally:
            guest.close()

    results = [await reached(int(1000 * 1.1**step)) for step in range(60)]
    assert results == sorted(results, reverse=True)
    assert results[0]
    assert not results[-1]


async def test_recursion_through_the_host_is_a_trap(deep: Program) -> None:
    """Each turn takes stack of the guest and of the host."""
    guest = guest_of(deep)
    guest.host.act = lambda guest: guest.call_nested("to", 0)
    await guest.start()
    with pytest.raises(GuestTrap):
        await guest.call("to", 0)


async def test_many_at_once_while_others_wait(deep: Program, engine: Engine, tmp_path: Path) -> None:
    other = Program.load(engine, compile_program_now(from_text(GUEST), tmp_path / "cache", [host]), [host])
    waiting = [Guest(other, Limits(cpu_ms=20_000), Desk()) for _ in range(20)]
    for guest in waiting:
        await guest.start()
    tasks = [asyncio.create_task(guest.call("wait", index)) for index, guest in enumerate(waiting)]
    await asyncio.sleep(0)
    guests = [guest_of(deep) for _ in range(30)]
    for guest in guests:
        await guest.start()
    results = await asyncio.gather(*(g.call("plain", 1) for g in guests), return_exceptions=True)
    assert all(isinstance(result, GuestTrap) for result in results)
    for guest in waiting:
        guest.host.gate.set()
    assert await asyncio.gather(*tasks) == [(2 * index,) for index in range(20)]
    for guest in waiting:
        guest.close()
