"""A host interface and a guest for tests of the sandbox."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wasmind.sandbox import F64, S32, U32, U64, Guest, Interface

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@dataclass
class Desk:
    """The host object of these tests: what host functions saw, and what they wait for."""

    seen: list[Any] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: int = 0
    act: Callable[[Guest[Desk]], Any] | None = None


host = Interface("host")


@host.function("add")
def add(guest: Guest[Desk], a: U32, b: U32) -> U32:
    guest.host.seen.append((a, b))
    return a + b


@host.function("mixed")
def mixed(guest: Guest[Desk], a: S32, b: U64, c: F64) -> F64:
    guest.host.seen.append((a, b, c))
    return a + b + c


@host.function("act")
def act(guest: Guest[Desk]) -> U32:
    """Do what the test says, on the guest's fiber."""
    assert guest.host.act is not None
    return guest.host.act(guest)


@host.function("double_later")
async def double_later(guest: Guest[Desk], value: U32) -> U32:
    try:
        await guest.host.gate.wait()
    except asyncio.CancelledError:
        guest.host.cancelled += 1
        raise
    return 2 * value


@host.function("act_later")
async def act_later(guest: Guest[Desk]) -> U32:
    """Do what the test says, off the guest's fiber."""
    assert guest.host.act is not None
    await asyncio.sleep(0)
    return await guest.host.act(guest)


@host.function("maybe", suspends=True)
def maybe(guest: Guest[Desk], value: U32) -> U32 | Awaitable[U32]:
    return value + 1 if value < 10 else double_later(guest, value)


@host.function("lower", finishes=True)
async def lower(guest: Guest[Desk], size: U32) -> U32:
    """Wait, then take memory from the guest's own allocator."""
    await asyncio.sleep(0)
    return lambda: guest.call_nested("allocate", size)


@host.function("leave")
def leave(guest: Guest[Desk], code: U32) -> None:
    guest.exit(code)


GUEST = """(module
  (import "host" "add" (func $add (param i32 i32) (result i32)))
  (import "host" "mixed" (func $mixed (param i32 i64 f64) (result f64)))
  (import "host" "act" (func $act (result i32)))
  (import "host" "act_later" (func $act_later (result i32)))
  (import "host" "double_later" (func $double_later (param i32) (result i32)))
  (import "host" "maybe" (func $maybe (param i32) (result i32)))
  (import "host" "lower" (func $lower (param i32) (result i32)))
  (import "host" "leave" (func $leave (param i32)))
  (memory (export "memory") 1 100)
  (global $heap (mut i32) (i32.const 4096))
  (data (i32.const 16) "named-model")
  (func (export "_start") (drop (call $add (i32.const 2) (i32.const 3))))
  (func (export "sum") (param i32 i32) (result i32) (call $add (local.get 0) (local.get 1)))
  (func (export "mixed") (param i32 i64 f64) (result f64)
    (call $mixed (local.get 0) (local.get 1) (local.get 2)))
  (func (export "echo64") (param i64) (result i64) (local.get 0))
  (func (export "echo32") (param f32) (result f32) (local.get 0))
  (func (export "pair") (result i32 i64) (i32.const -1) (i64.const -2))
  (func (export "act") (result i32) (call $act))
  (func (export "act_later") (result i32) (call $act_later))
  (func (export "wait") (param i32) (result i32) (call $double_later (local.get 0)))
  (func (export "wait_often") (param i32)
    (loop $again
      (drop (call $double_later (i32.const 1)))
      (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
      (br_if $again (local.get 0))))
  (func (export "maybe") (param i32) (result i32) (call $maybe (local.get 0)))
  (func (export "lower") (param i32) (result i32) (call $lower (local.get 0)))
  (func (export "leave") (param i32) (call $leave (local.get 0)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "allocate") (param i32) (result i32)
    (global.get $heap) (global.set $heap (i32.add (global.get $heap) (local.get 0))))
  (func (export "busy") (param i32) (result i32)
    (loop $again (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $again (local.get 0)))
    (i32.const 77))
  (func (export "act_often") (param i32) (result i32)
    (loop $again
      (drop (call $act))
      (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
      (br_if $again (local.get 0)))
    (i32.const 77))
  (func $spin (export "spin") (loop $again (br $again)))
  (func $deep (export "deep") (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))
  (func $boom (export "unreachable") (unreachable))
  (func (export "divide") (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0))))"""
