"""wit-component's shims are seen through where that is sound, and only there."""

from __future__ import annotations

import pytest

from support.components import parse, validate
from wasmind.component.core.module import CoreModule, Kind, read_module
from wasmind.component.fuse.fuser import fuse
from wasmind.component.plan import INITIALIZE
from wasmind.component.planner import plan_component

SHIM = """
  (core module $shim
    (type $t (func (param i32 i32)))
    (table (export "$imports") {size} {size} funcref)
    (func (export "0") (param i32 i32)
      (call_indirect (type $t) (local.get 0) (local.get 1) (i32.const {slot}))){more})
"""
COMPONENT = """
(component
  (import "log" (func $log (param "line" string)))
  {shim}
  (core instance $shim (instantiate $shim))
  (core module $main
    (import "env" "log" (func $log (param i32 i32)))
    (memory (export "memory") 1)
    {start}
    (func (export "run") (call $log (i32.const 0) (i32.const 5))))
  (core instance $main (instantiate $main (with "env" (instance (export "log" (func $shim "0"))))))
  {other}
  (core func $low (canon lower (func $log) (memory (core memory $main "memory"))))
  (core module $fixup
    (import "" "0" (func (param i32 i32)))
    (import "" "$imports" (table 1 funcref))
    {fixup})
  (core instance (instantiate $fixup
    (with "" (instance (export "0" (func $low)) (export "$imports" (table $shim "$imports"))))))
  (func (export "run") (canon lift (core func $main "run"))))
"""


def component(**changes: str) -> CoreModule:
    parts = {
        "start": "",
        "other": "",
        "fixup": "(elem (i32.const 0) func 0)",
        "size": "1",
        "slot": "0",
        "more": "",
    }
    parts |= changes
    shim = SHIM.format(**{key: parts[key] for key in ("size", "slot", "more")})
    text = COMPONENT.format(shim=shim, **{key: parts[key] for key in ("start", "other", "fixup")})
    wasm = fuse(plan_component(parse(text)))
    assert validate(wasm) == ""
    return read_module(wasm)


def calls_host_directly(module: CoreModule) -> bool:
    return not module.tables and len(module.functions) == 2


def test_a_shim_and_its_fixup_disappear() -> None:
    module = component()
    assert calls_host_directly(module)
    assert [(item.module, item.name, item.kind) for item in module.imports] == [("", "log", Kind.FUNC)]


@pytest.mark.parametrize(
    "changes",
    [
        {"start": "(func $s) (start $s)"},
        {"fixup": ""},
        {"fixup": "(elem (i32.const 0) func)"},
        {"size": "2", "slot": "1"},
        {"more": '(func (export "x"))'},
        {"more": "(memory 1)"},
        {"fixup": "(elem (i32.const 0) func 0) (func)"},
        {"fixup": "(elem (i32.const 0) func 0) (memory 1)"},
        {"fixup": "(elem (i32.const 0) funcref (ref.func 0))"},
        {
            "other": """
            (core module $other (import "" "t" (table 1 funcref)))
            (core instance (instantiate $other (with "" (instance (export "t" (table $shim "$imports"))))))"""
        },
        {
            "more": '(type $u (func)) (func (export "1") (call_indirect (type $u) (i32.const 0)))',
        },
    ],
    ids=str,
)
def test_what_only_looks_like_a_shim_stays(changes: dict[str, str]) -> None:
    module = component(**changes)
    assert module.tables
    assert len(module.functions) > 2


def test_a_start_function_of_the_fixup_itself_is_kept() -> None:
    wasm = fuse(
        plan_component(
            parse(
                """
                (component
                  (import "tick" (func $tick))
                  (core module $shim
                    (type $t (func))
                    (table (export "t") 1 1 funcref)
                    (func (export "0") (call_indirect (type $t) (i32.const 0))))
                  (core instance $shim (instantiate $shim))
                  (core module $main (import "" "tick" (func $tick)) (func (export "init") (call $tick)))
                  (core instance $main (instantiate $main
                    (with "" (instance (export "tick" (func $shim "0"))))))
                  (core func $low (canon lower (func $tick)))
                  (core module $fixup
                    (import "" "0" (func)) (import "" "init" (func $init)) (import "" "t" (table 1 funcref))
                    (elem (i32.const 0) func 0) (start $init))
                  (core instance (instantiate $fixup (with "" (instance
                    (export "0" (func $low)) (export "init" (func $main "init"))
                    (export "t" (table $shim "t")))))))
                """
            )
        )
    )
    assert validate(wasm) == ""
    module = read_module(wasm)
    assert not module.tables
    assert module.exports == {INITIALIZE: (Kind.FUNC, 2)}


def test_shims_of_shims() -> None:
    # As the functions of the preview 1 adapter, which are called through a shim, and call through it.
    wasm = fuse(
        plan_component(
            parse(
                """
                (component
                  (import "log" (func $log (param "line" string)))
                  (core module $shim
                    (type $t (func (param i32 i32)))
                    (type $w (func (param i32) (result i32)))
                    (table (export "t") 2 2 funcref)
                    (func (export "0") (type $t)
                      (call_indirect (type $t) (local.get 0) (local.get 1) (i32.const 0)))
                    (func (export "1") (type $w) (call_indirect (type $w) (local.get 0) (i32.const 1))))
                  (core instance $shim (instantiate $shim))
                  (core module $main
                    (import "p1" "write" (func $write (param i32) (result i32)))
                    (memory (export "memory") 1)
                    (func (export "run") (drop (call $write (i32.const 4)))))
                  (core instance $main (instantiate $main
                    (with "p1" (instance (export "write" (func $shim "1"))))))
                  (core module $adapter
                    (import "host" "log" (func $log (param i32 i32)))
                    (import "env" "memory" (memory 1))
                    (func (export "write") (param i32) (result i32)
                      (call $log (i32.const 0) (local.get 0)) (i32.const 0)))
                  (core instance $adapter (instantiate $adapter
                    (with "host" (instance (export "log" (func $shim "0"))))
                    (with "env" (instance $main))))
                  (core func $low (canon lower (func $log) (memory (core memory $main "memory"))))
                  (core module $fixup
                    (import "" "0" (func (param i32 i32)))
                    (import "" "1" (func (param i32) (result i32)))
                    (import "" "t" (table 2 funcref))
                    (elem (i32.const 0) func 0 1))
                  (core instance (instantiate $fixup (with "" (instance
                    (export "0" (func $low)) (export "1" (func $adapter "write"))
                    (export "t" (table $shim "t"))))))
                  (func (export "run") (canon lift (core func $main "run"))))
                """
            )
        )
    )
    assert validate(wasm) == ""
    module = read_module(wasm)
    assert not module.tables
    assert len(module.functions) == 3
