"""Programs of several modules: linked for each guest, in one store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.components import CACHE, LIMITS
from wasmind.errors import GuestTrap, NodeError, UnknownImport
from wasmind.sandbox import U32, Guest, Interface, LinkedGuest, LinkedProgram, compile_program_now, from_text

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from wasmind.sandbox import Engine

A = """
(module
  (memory (export "m") 1)
  (global (export "g") (mut i32) (i32.const 5))
  (table (export "t") 1 funcref)
  (func $f (export "f") (result i32) (i32.const 7))
  (elem (i32.const 0) $f)
  (func (export "realloc") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1))))
"""
B = """
(module
  (import "env" "m" (memory 1))
  (import "env" "g" (global $g (mut i32)))
  (import "env" "t" (table 1 funcref))
  (import "env" "f" (func $f (result i32)))
  (import "host" "ask" (func $ask (param i32) (result i32)))
  (func $start (global.set $g (i32.add (global.get $g) (call $f))))
  (start $start)
  (func (export "run") (result i32)
    (i32.store (i32.const 16) (call $ask (global.get $g)))
    (i32.add (i32.load (i32.const 16)) (call_indirect (result i32) (i32.const 0)))))
"""
STEPS: list[tuple[int, list[tuple[str, str, int | tuple[str, str], str]]]] = [
    (0, []),
    (
        1,
        [
            ("env", "m", 0, "m"),
            ("env", "g", 0, "g"),
            ("env", "t", 0, "t"),
            ("env", "f", 0, "f"),
            ("host", "ask", ("other", "asked"), ""),
        ],
    ),
]
EXPORTS = {"run": (1, "run"), "memory": (0, "m"), "back": (0, "realloc")}


def host(answer: Any) -> Interface:
    made = Interface("other")
    made.function("asked", suspends=True)(answer)
    return made


def linked(
    engine: Engine, interface: Interface, exports: dict[str, tuple[int, str]] = EXPORTS
) -> LinkedProgram:
    artifacts = [compile_program_now(from_text(text), CACHE, None) for text in (A, B)]
    return LinkedProgram.link(engine, artifacts, STEPS, exports, (interface,))


async def test_instances_share_what_they_import(engine: Engine) -> None:
    def ask(guest: Guest[Any], value: U32) -> U32:
        guest.memory.set_u32(32, value)
        return guest.call_nested("back", value)

    program = linked(engine, host(ask))
    guest = LinkedGuest(program, LIMITS, None)
    await guest.start()
    assert await guest.call("run") == (13 + 7,)
    assert guest.memory.u32(32) == 12
    assert guest.memory_named("memory") is guest.memory
    assert await guest.call("back", 41) == (42,)
    guest.close()
    program.close()


async def test_a_host_function_may_wait(engine: Engine) -> None:
    import asyncio

    async def later(value: int) -> int:
        await asyncio.sleep(0.001)
        return value * 2

    def ask(_guest: Guest[Any], value: U32) -> U32 | Awaitable[U32]:
        return later(value)

    program = linked(engine, host(ask))
    guest = LinkedGuest(program, LIMITS, None)
    await guest.start()
    assert await guest.call("run") == (24 + 7,)
    assert guest.figures.waited_ns > 0
    guest.close()
    program.close()


async def test_each_guest_has_its_own_instances(engine: Engine) -> None:
    def ask(_guest: Guest[Any], value: U32) -> U32:
        return value

    program = linked(engine, host(ask))
    before = engine.live
    guests = [LinkedGuest(program, LIMITS, None) for _ in range(3)]
    for guest in guests:
        await guest.start()
    assert engine.live == before + 6
    assert [await guest.call("run") for guest in guests] == [(19,)] * 3
    for guest in guests:
        guest.close()
        guest.close()
    assert engine.live == before
    program.close()


async def test_its_instances_are_not_made_before_they_are_asked_for(engine: Engine) -> None:
    def ask(_guest: Guest[Any], value: U32) -> U32:
        return value

    program = linked(engine, host(ask))
    before = engine.live
    guest = LinkedGuest(program, LIMITS, None)
    assert not guest.prepare()
    assert engine.live == before
    guest.close()
    program.close()


async def test_a_trap_while_starting_ends_the_guest(engine: Engine) -> None:
    artifacts = [compile_program_now(from_text("(module (func $f unreachable) (start $f))"), CACHE, None)]
    program = LinkedProgram.link(engine, artifacts, [(0, [])], {}, ())
    guest = LinkedGuest(program, LIMITS, None)
    before = engine.live
    with pytest.raises(GuestTrap):
        await guest.start()
    assert engine.live == before
    program.close()


def test_a_host_function_that_nobody_provides(engine: Engine) -> None:
    with pytest.raises(UnknownImport, match=r"other\.asked"):
        linked(engine, Interface("other"))


async def test_an_export_that_is_not_there(engine: Engine) -> None:
    def ask(_guest: Guest[Any], value: U32) -> U32:
        return value

    program = linked(engine, host(ask), {"memory": (0, "nothing")})
    guest = LinkedGuest(program, LIMITS, None)
    with pytest.raises(NodeError, match="no export 'nothing'"):
        await guest.start()
    guest.close()
    program.close()
