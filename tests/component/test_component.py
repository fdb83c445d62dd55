"""Loaded components: their guests start, are called, and end; and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from support.components import LIMITS, Host, Instance, built, parse, run
from wasmind.component.abi.values import Err, Ok
from wasmind.component.component import Component
from wasmind.component.interface import WitInterface
from wasmind.component.types import Primitive
from wasmind.config import Size
from wasmind.errors import GuestTrap, LimitExceeded, UnknownImport

if TYPE_CHECKING:
    from wasmind.component.prepare import Form
    from wasmind.sandbox import Engine

FORMS: tuple[Form, ...] = ("fused", "linked")

TEXT = """
(component
  (core module $m
    (memory (export "memory") 1 2)
    (global $next (mut i32) (i32.const 1024))
    (global $freed (mut i32) (i32.const 0))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (memory.copy (global.get $next) (local.get 0) (local.get 1))
      (global.get $next)
      (global.set $next (i32.add (global.get $next) (local.get 3))))
    (func (export "echo") (param i32 i32) (result i32)
      (i32.store (i32.const 4) (local.get 0))
      (i32.store (i32.const 8) (local.get 1))
      (i32.store8 (i32.const 0) (i32.eqz (local.get 1)))
      (i32.const 0))
    (func (export "done") (param i32) (global.set $freed (i32.add (global.get $freed) (i32.const 1))))
    (func (export "freed") (result i32) (global.get $freed))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "trap") unreachable))
  (core instance $m (instantiate $m))
  (func (export "echo") (param "text" string) (result (result string (error string)))
    (canon lift (core func $m "echo") (memory (core memory $m "memory"))
      (realloc (core func $m "realloc")) (post-return (core func $m "done"))))
  (func (export "freed") (result u32) (canon lift (core func $m "freed")))
  (func (export "grow") (param "pages" u32) (result s32) (canon lift (core func $m "grow")))
  (func (export "trap") (canon lift (core func $m "trap"))))
"""


@pytest.mark.parametrize("form", FORMS)
async def test_values_go_in_and_out(engine: Engine, form: Form) -> None:
    instance = await run(engine, TEXT, (), form)
    assert await instance.call("echo", "grüße ☃") == Ok("grüße ☃")
    assert await instance.call("echo", "") == Err("")
    assert await instance.call("freed") == 2
    instance.close()


@pytest.mark.parametrize("form", FORMS)
async def test_a_guest_that_traps_has_ended(engine: Engine, form: Form) -> None:
    instance = await run(engine, TEXT, (), form)
    with pytest.raises(GuestTrap):
        await instance.call("trap")
    assert instance.guest.figures.wall_ns
    instance.close()


@pytest.mark.parametrize("form", FORMS)
async def test_guests_do_not_see_each_other(engine: Engine, form: Form) -> None:
    made = built(parse(TEXT), (), form)
    component = Component.load(engine, made, ())
    one, other = Instance(component), Instance(component)
    await one.start()
    await other.start()
    assert await one.call("echo", "one") == Ok("one")
    assert [await one.call("freed"), await other.call("freed")] == [1, 0]
    one.guest.close()
    assert await other.call("echo", "two") == Ok("two")
    other.guest.close()
    component.close()


@pytest.mark.parametrize("form", FORMS)
async def test_the_memory_of_a_component_counts(engine: Engine, form: Form) -> None:
    instance = await run(engine, TEXT, (), form)
    assert await instance.call("grow", 1) == 1
    assert await instance.call("grow", 1) == -1
    instance.guest.close()
    assert instance.guest.figures.memory_peak == 2 << 16
    instance.close()


@pytest.mark.parametrize("form", FORMS)
async def test_the_memory_of_a_component_is_limited(engine: Engine, form: Form) -> None:
    component = Component.load(engine, built(parse(TEXT), (), form), ())
    small = Instance(component, msgspec.structs.replace(LIMITS, memory=Size(1 << 15)))
    with pytest.raises(LimitExceeded):
        await small.start()
    small.close()


@pytest.mark.parametrize("form", FORMS)
async def test_memories_share_the_limit(engine: Engine, form: Form) -> None:
    text = """
        (component
          (core module $m (memory (export "m") 1)
            (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))
          (core instance $a (instantiate $m))
          (core instance $b (instantiate $m))
          (func (export "a") (param "pages" u32) (result s32) (canon lift (core func $a "grow")))
          (func (export "b") (param "pages" u32) (result s32) (canon lift (core func $b "grow"))))"""
    component = Component.load(engine, built(parse(text), (), form), ())
    instance = Instance(component, msgspec.structs.replace(LIMITS, memory=Size(8 << 16)))
    await instance.start()
    assert [await instance.call("a", 3), await instance.call("a", 1)] == [1, -1]
    assert [await instance.call("b", 4), await instance.call("b", 3)] == [-1, 1]
    instance.close()


async def test_exports_are_found_by_compatible_versions(engine: Engine) -> None:
    text = """
        (component
          (core module $m (func (export "f") (result i32) (i32.const 3)))
          (core instance $m (instantiate $m))
          (func $f (result u32) (canon lift (core func $m "f")))
          (instance $i (export "f" (func $f)))
          (export "a:b/c@0.2.3" (instance $i)))"""
    instance = await run(engine, text)
    assert await instance.call("f", interface="a:b/c@0.2.12") == 3
    assert instance.component.export("a:b/c@0.3.0", "f") is None
    instance.close()


async def test_an_import_passed_through_is_called_at_the_host(engine: Engine) -> None:
    root = WitInterface("")
    root.function("f", {"x": Primitive.U32}, Primitive.U32)(lambda _, x: x + 1)
    text = '(component (import "f" (func $f (param "x" u32) (result u32))) (export "g" (func $f)))'
    instance = await run(engine, text, (root,))
    assert await instance.call("g", 4) == 5
    instance.close()


@pytest.mark.parametrize("form", FORMS)
async def test_a_host_that_offers_less_cannot_load_it(engine: Engine, form: Form) -> None:
    root = WitInterface("")
    root.function("tick")(lambda _: None)
    text = """
        (component
          (import "tick" (func $tick))
          (core func $low (canon lower (func $tick)))
          (core module $m (import "" "t" (func)))
          (core instance (instantiate $m (with "" (instance (export "t" (func $low)))))))"""
    made = built(parse(text), (root,), form)
    with pytest.raises(UnknownImport):
        Component.load(engine, made, ())
    Component.load(engine, made, (root,)).close()


async def test_a_host_keeps_the_handles_of_each_guest(engine: Engine) -> None:
    component = Component.load(engine, built(parse(TEXT)), ())
    hosts: list[Any] = [Host(), Host()]
    guests = [component.guest(LIMITS, host) for host in hosts]
    assert hosts[0].contexts is not hosts[1].contexts
    for guest in guests:
        guest.close()
    component.close()
