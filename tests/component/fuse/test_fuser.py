"""Fused components are valid modules, and behave as their core modules do one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.components import built, parse, run, validate
from wasmind.component.core.module import CoreModule, Kind, Section, read_module
from wasmind.component.fuse import Unfusable
from wasmind.component.fuse.fuser import fuse
from wasmind.component.interface import WitInterface
from wasmind.component.plan import INITIALIZE
from wasmind.component.planner import plan_component
from wasmind.component.types import Primitive
from wasmind.errors import GuestTrap

if TYPE_CHECKING:
    from wasmind.component.prepare import Form
    from wasmind.sandbox import Engine

FORMS: tuple[Form, ...] = ("fused", "linked")


def fused(text: str) -> CoreModule:
    """The fused module of a component, which must be valid."""
    wasm = fuse(plan_component(parse(text)))
    assert validate(wasm) == ""
    return read_module(wasm)


async def call(engine: Engine, text: str, form: Form, name: str, *values: Any) -> Any:
    instance = await run(engine, text, (), form)
    try:
        return await instance.call(name, *values)
    finally:
        instance.close()


SIDE_MODULES = """
(component
  (core module $main
    (memory (export "memory") 2)
    (table (export "table") 8 funcref)
    (global (export "memory_base") i32 (i32.const 1024))
    (global (export "table_base") i32 (i32.const 3))
    (global (export "counter") (mut i32) (i32.const 40))
    (func $zero (result i32) (i32.const 0))
    (elem (i32.const 0) $zero))
  (core instance $main (instantiate $main))
  (core module $side
    (type $get (func (result i32)))
    (import "env" "memory" (memory 1))
    (import "env" "table" (table 1 funcref))
    (import "env" "memory_base" (global $memory_base i32))
    (import "env" "table_base" (global $table_base i32))
    (import "env" "counter" (global $counter (mut i32)))
    (global $end i32 (i32.add (global.get $memory_base) (i32.const 4)))
    (data (global.get $memory_base) "\\07\\00\\00\\00")
    (elem (global.get $table_base) $seven $count)
    (func $seven (type $get) (i32.load (global.get $memory_base)))
    (func $count (type $get)
      (global.set $counter (i32.add (global.get $counter) (i32.const 1)))
      (global.get $counter))
    (func (export "at") (param i32) (result i32)
      (call_indirect (type $get) (i32.add (global.get $table_base) (local.get 0))))
    (func (export "end") (result i32) (global.get $end)))
  (core instance $side (instantiate $side (with "env" (instance $main))))
  (func (export "at") (param "i" u32) (result u32) (canon lift (core func $side "at")))
  (func (export "end") (result u32) (canon lift (core func $side "end"))))
"""


@pytest.mark.parametrize("form", FORMS)
async def test_side_modules_find_their_place_by_globals_of_others(engine: Engine, form: Form) -> None:
    instance = await run(engine, SIDE_MODULES, (), form)
    assert [await instance.call("at", index) for index in (0, 1, 1)] == [7, 41, 42]
    assert await instance.call("end") == 1028
    with pytest.raises(GuestTrap):
        await instance.call("at", 3)
    instance.close()


def test_globals_that_never_change_become_constants() -> None:
    module = fused(SIDE_MODULES)
    code = module.sections[Section.CODE]
    body = module.data[code.at : code.end]
    assert b"\x41\x80\x08\x28" in body  # i32.const 1024, i32.load
    assert module.imports == []
    assert len(module.memories) == 1


STARTS = """
(component
  (core module $a
    (memory (export "memory") 1)
    (table (export "table") 2 funcref)
    (func (export "note") (param i32)
      (i32.store (i32.const 0)
        (i32.add (i32.mul (i32.load (i32.const 0)) (i32.const 10)) (local.get 0)))))
  (core instance $a (instantiate $a))
  (core module $b
    (import "a" "memory" (memory 1))
    (import "a" "table" (table 1 funcref))
    (import "a" "note" (func $note (param i32)))
    (func $start (call $note (i32.add (i32.const 1) (i32.load8_u (i32.const 100)))))
    (start $start))
  (core instance (instantiate $b (with "a" (instance $a))))
  (core module $c
    (import "a" "memory" (memory 1))
    (import "a" "table" (table 1 funcref))
    (import "a" "note" (func $note (param i32)))
    (func $two (result i32) (i32.const 2))
    (elem (i32.const 1) $two)
    (data (i32.const 100) "\\05")
    (func $start
      (call $note (call_indirect (result i32) (i32.const 1)))
      (call $note (i32.load8_u (i32.const 100))))
    (start $start)
    (func (export "seen") (result i32) (i32.load (i32.const 0))))
  (core instance $c (instantiate $c (with "a" (instance $a))))
  (func (export "seen") (result u32) (canon lift (core func $c "seen"))))
"""


@pytest.mark.parametrize("form", FORMS)
async def test_start_functions_see_what_was_there_before_them(engine: Engine, form: Form) -> None:
    assert await call(engine, STARTS, form, "seen") == 125


def test_start_functions_become_one_that_is_called_first() -> None:
    module = fused(STARTS)
    assert module.start is None
    assert INITIALIZE in module.exports


@pytest.mark.parametrize("form", FORMS)
async def test_a_trap_in_a_start_function_ends_the_guest(engine: Engine, form: Form) -> None:
    text = """
        (component
          (core module $m (func $f unreachable) (start $f))
          (core instance (instantiate $m)))"""
    with pytest.raises(GuestTrap):
        await run(engine, text, (), form)


@pytest.mark.parametrize("form", FORMS)
async def test_a_start_function_may_call_the_host_with_memory(engine: Engine, form: Form) -> None:
    text = """
        (component
          (import "log" (func $log (param "line" string)))
          (core module $libc (memory (export "memory") 1) (data (i32.const 8) "started"))
          (core instance $libc (instantiate $libc))
          (core func $low (canon lower (func $log) (memory (core memory $libc "memory"))))
          (core module $m
            (import "" "log" (func $log (param i32 i32)))
            (func $start (call $log (i32.const 8) (i32.const 7)))
            (start $start))
          (core instance (instantiate $m (with "" (instance (export "log" (func $low)))))))"""
    host = WitInterface("")
    lines: list[str] = []
    host.function("log", {"line": Primitive.STRING})(lambda _, line: lines.append(line))
    (await run(engine, text, (host,), form)).close()
    assert lines == ["started"]


TWO_MEMORIES = """
(component
  (component $callee
    (core module $m
      (memory (export "memory") 1)
      (global $next (mut i32) (i32.const 64))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32)
        (memory.copy (global.get $next) (local.get 0) (local.get 1))
        (global.get $next)
        (global.set $next (i32.add (global.get $next) (i32.const 32))))
      (func (export "twice") (param i32 i32) (result i32)
        (memory.copy (i32.add (local.get 0) (local.get 1)) (local.get 0) (local.get 1))
        (i32.store (i32.const 0) (local.get 0))
        (i32.store (i32.const 4) (i32.mul (local.get 1) (i32.const 2)))
        (i32.const 0))
      (func (export "done") (param i32)
        (i32.store8 (i32.const 16) (i32.add (i32.const 1) (i32.load8_u (i32.const 16)))))
      (func (export "calls") (result i32) (i32.load8_u (i32.const 16))))
    (core instance $i (instantiate $m))
    (func (export "twice") (param "text" string) (result string)
      (canon lift (core func $i "twice") (memory (core memory $i "memory"))
        (realloc (core func $i "realloc")) (post-return (core func $i "done"))))
    (func (export "calls") (result u32) (canon lift (core func $i "calls"))))
  (component $caller
    (import "twice" (func $twice (param "text" string) (result string)))
    (core module $libc
      (memory (export "memory") 1)
      (global $next (mut i32) (i32.const 256))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32)
        (memory.copy (global.get $next) (local.get 0) (local.get 1))
        (global.get $next)
        (global.set $next (i32.add (global.get $next) (i32.const 32)))))
    (core instance $libc (instantiate $libc))
    (core func $low (canon lower (func $twice) string-encoding=utf16
      (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
    (core module $m
      (import "libc" "memory" (memory 1))
      (import "" "twice" (func $twice (param i32 i32 i32)))
      (data (i32.const 0) "a\\00\\e9\\00")
      (func (export "run") (result i32)
        (call $twice (i32.const 0) (i32.const 2) (i32.const 32))
        (i32.const 32)))
    (core instance $i (instantiate $m (with "libc" (instance $libc))
      (with "" (instance (export "twice" (func $low))))))
    (func (export "run") (result string)
      (canon lift (core func $i "run") string-encoding=utf16 (memory (core memory $libc "memory")))))
  (instance $b (instantiate $callee))
  (instance $a (instantiate $caller (with "twice" (func $b "twice"))))
  (export "run" (func $a "run"))
  (export "calls" (func $b "calls")))
"""


@pytest.mark.parametrize("form", FORMS)
async def test_components_composed_of_components(engine: Engine, form: Form) -> None:
    instance = await run(engine, TWO_MEMORIES, (), form)
    assert [await instance.call("run") for _ in range(3)] == ["aéaé"] * 3
    assert await instance.call("calls") == 3
    instance.close()


def test_memories_that_remain_are_all_in_the_fused_module() -> None:
    assert len(fused(TWO_MEMORIES).memories) == 2


DESTRUCTOR = """
(component
  (import "sleep" (func $sleep (param "ms" u32)))
  (core func $sleep' (canon lower (func $sleep)))
  (core module $state
    (import "" "sleep" (func $sleep (param i32)))
    (global $dropped (mut i32) (i32.const 0))
    (func (export "drop") (param i32)
      (call $sleep (i32.const 1))
      (global.set $dropped (i32.add (global.get $dropped) (local.get 0))))
    (func (export "dropped") (result i32) (global.get $dropped)))
  (core instance $state (instantiate $state (with "" (instance (export "sleep" (func $sleep'))))))
  (type $r (resource (rep i32) (dtor (core func $state "drop"))))
  (core func $new (canon resource.new $r))
  (core func $rep (canon resource.rep $r))
  (core func $drop (canon resource.drop $r))
  (core module $m
    (import "" "new" (func $new (param i32) (result i32)))
    (import "" "rep" (func $rep (param i32) (result i32)))
    (import "" "drop" (func $drop (param i32)))
    (func (export "use") (param i32) (result i32)
      (local $handle i32)
      (local.set $handle (call $new (local.get 0)))
      (call $rep (local.get $handle))
      (call $drop (local.get $handle))))
  (core instance $i (instantiate $m (with "" (instance
    (export "new" (func $new)) (export "rep" (func $rep)) (export "drop" (func $drop))))))
  (func (export "use") (param "rep" u32) (result u32) (canon lift (core func $i "use")))
  (func (export "dropped") (result u32) (canon lift (core func $state "dropped"))))
"""


@pytest.mark.parametrize("form", FORMS)
async def test_a_destructor_may_wait(engine: Engine, form: Form) -> None:
    import asyncio

    host = WitInterface("")

    async def sleep(_: object, ms: int) -> None:
        await asyncio.sleep(ms / 1000)

    host.function("sleep", {"ms": Primitive.U32})(sleep)
    instance = await run(engine, DESTRUCTOR, (host,), form)
    assert [await instance.call("use", rep) for rep in (5, 30)] == [5, 30]
    assert await instance.call("dropped") == 35
    instance.close()


async def test_a_callee_in_another_component_may_wait(engine: Engine) -> None:
    import asyncio

    text = """
        (component
          (import "sleep" (func $sleep (result u32)))
          (component $inner
            (import "sleep" (func $sleep (result u32)))
            (core func $low (canon lower (func $sleep)))
            (core module $m (import "" "s" (func $s (result i32)))
              (func (export "f") (result i32) (i32.add (i32.const 1) (call $s))))
            (core instance $i (instantiate $m (with "" (instance (export "s" (func $low))))))
            (func (export "f") (result u32) (canon lift (core func $i "f"))))
          (instance $inner (instantiate $inner (with "sleep" (func $sleep))))
          (component $outer
            (import "f" (func $f (result u32)))
            (core func $low (canon lower (func $f)))
            (core module $m (import "" "f" (func $f (result i32)))
              (func (export "run") (result i32) (i32.mul (call $f) (call $f))))
            (core instance $i (instantiate $m (with "" (instance (export "f" (func $low))))))
            (func (export "run") (result u32) (canon lift (core func $i "run"))))
          (instance $outer (instantiate $outer (with "f" (func $inner "f"))))
          (export "run" (func $outer "run")))"""
    host = WitInterface("")

    async def sleep(_: object) -> int:
        await asyncio.sleep(0.001)
        return 4

    host.function("sleep", {}, Primitive.U32)(sleep)
    for form in FORMS:
        instance = await run(engine, text, (host,), form)
        assert await instance.call("run") == 25
        assert instance.guest.figures.waited_ns > 2_000_000
        instance.close()


REFERENCES = """
(component
  (core module $m
    (type $f (func (result i32)))
    (table $t 2 funcref)
    (table $e 1 funcref)
    (func $one (type $f) (i32.const 1))
    (func $two (type $f) (i32.const 2))
    (func $three (export "unused") (type $f) (i32.const 3))
    (elem $passive func $one $two)
    (elem declare func $three)
    (elem (table $t) (i32.const 1) funcref (ref.func $two))
    (func (export "passive") (result i32)
      (table.init $t $passive (i32.const 0) (i32.const 0) (i32.const 1))
      (elem.drop $passive)
      (call_indirect $t (type $f) (i32.const 0)))
    (func (export "active") (result i32) (call_indirect $t (type $f) (i32.const 1)))
    (func (export "declared") (result i32)
      (table.set $t (i32.const 0) (ref.func $three))
      (return_call_indirect $t (type $f) (i32.const 0)))
    (func (export "null") (result i32)
      (table.fill $e (i32.const 0) (ref.null func) (i32.const 1))
      (ref.is_null (table.get $e (i32.const 0))))
    (func (export "lanes") (result i32)
      (i32x4.extract_lane 2 (i32x4.add (v128.const i32x4 1 2 3 4) (i32x4.splat (i32.const 40))))))
  (core module $before (func (export "f")) (table (export "t") 3 funcref) (elem func 0))
  (core instance (instantiate $before))
  (core instance $i (instantiate $m))
  (func (export "passive") (result u32) (canon lift (core func $i "passive")))
  (func (export "active") (result u32) (canon lift (core func $i "active")))
  (func (export "declared") (result u32) (canon lift (core func $i "declared")))
  (func (export "null") (result u32) (canon lift (core func $i "null")))
  (func (export "lanes") (result u32) (canon lift (core func $i "lanes"))))
"""


@pytest.mark.parametrize("form", FORMS)
async def test_references_tables_and_vectors(engine: Engine, form: Form) -> None:
    instance = await run(engine, REFERENCES, (), form)
    names = ("passive", "active", "declared", "null", "lanes")
    assert [await instance.call(name) for name in names] == [1, 2, 3, 1, 43]
    instance.close()


def test_a_function_that_was_declared_by_its_export_is_declared_still() -> None:
    fused(
        """
        (component
          (core module $m
            (func $f (export "f"))
            (func (export "g") (drop (ref.func $f))))
          (core instance $i (instantiate $m))
          (func (export "g") (canon lift (core func $i "g"))))"""
    )


def test_an_instance_of_the_same_module_has_its_own_state() -> None:
    module = fused(
        """
        (component
          (core module $m (global $g (mut i32) (i32.const 0)) (memory (export "m") 1) (func (export "f")))
          (core instance $a (instantiate $m))
          (core instance $b (instantiate $m))
          (func (export "a") (canon lift (core func $a "f")))
          (func (export "b") (canon lift (core func $b "f"))))"""
    )
    assert (len(module.memories), len(module.globals), len(module.functions)) == (2, 2, 2)


def test_modules_that_are_repeated_too_often_are_not_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    from wasmind.component import prepare
    from wasmind.component.fuse import fuser

    text = """
        (component
          (core module $m (func (export "f") (result i32) (i32.const 9)))
          (core instance (instantiate $m))
          (core instance $a (instantiate $m))
          (func (export "f") (result u32) (canon lift (core func $a "f"))))"""
    monkeypatch.setattr(fuser, "MAX_GROWTH", -200)
    with pytest.raises(Unfusable, match="too large"):
        prepare.prepare(parse(text), "fused")
    made = prepare.prepare(parse(text))
    assert made.linking is not None
    assert len(made.linking.stages) == 2
    assert "too large" in (made.reason or "")


async def test_a_component_without_core_instances(engine: Engine) -> None:
    text = '(component (type $t u8) (export "t" (type $t)))'
    made = built(parse(text), (), "linked")
    assert made.linking is None
    (await run(engine, text)).close()


def test_names_are_kept_for_traps() -> None:
    module = fused(
        """
        (component
          (import "f" (func $f))
          (core func $low (canon lower (func $f)))
          (core module $m (import "" "f" (func $imported)) (func $useful (export "f") (call $imported)))
          (core instance $i (instantiate $m (with "" (instance (export "f" (func $low))))))
          (func (export "f") (canon lift (core func $i "f"))))"""
    )
    assert module.names is not None
    assert b"useful" in module.data[module.names.at : module.names.end]
    assert module.exports["core:0"] == (Kind.FUNC, 1)
