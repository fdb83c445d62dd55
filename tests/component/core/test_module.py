"""Core modules as linking sees them."""

from __future__ import annotations

import pytest

from support.components import parse, validate
from wasmind.component.core import emit
from wasmind.component.core.module import PREAMBLE, CoreModule, Kind, Section, Span, read_module
from wasmind.component.core.types import CoreFunction, CoreGlobal, CoreMemory, CoreTable, Limits, Reference
from wasmind.errors import NotWasm, UnsupportedFeature

MODULE = """
(module $named
  (type $t (func (param i32) (result i32)))
  (import "env" "f" (func $f (type $t)))
  (import "env" "g" (global $g i32))
  (import "env" "table" (table 1 funcref))
  (memory (export "memory") 1 4)
  (table $own (export "own") 2 funcref)
  (global $h (export "h") (mut i64) (i64.const 5))
  (global $offset i32 (global.get $g))
  (func $main (export "main") (param i32) (result i32) local.get 0)
  (func $start)
  (start $start)
  (elem (i32.const 0) func $main)
  (data (i32.const 8) "hello"))
"""


def module(text: str) -> CoreModule:
    return read_module(parse(text))


def test_index_spaces_begin_with_imports() -> None:
    found = module(MODULE)
    assert [(item.module, item.name, item.kind) for item in found.imports] == [
        ("env", "f", Kind.FUNC),
        ("env", "g", Kind.GLOBAL),
        ("env", "table", Kind.TABLE),
    ]
    assert found.imported(Kind.FUNC) == 1
    assert len(found.functions) == 3
    assert found.start == 2
    assert found.types[found.functions[0]] == CoreFunction(("i32",), ("i32",))
    assert len(found.tables) == 2
    assert len(found.global_inits) == 2
    assert found.space(Kind.GLOBAL) == found.globals


def test_exports_have_types() -> None:
    assert module(MODULE).export_types() == {
        "memory": CoreMemory(Limits(1, 4)),
        "own": CoreTable(Reference("func"), Limits(2)),
        "h": CoreGlobal("i64", True),
        "main": CoreFunction(("i32",), ("i32",)),
    }


def test_sections_that_are_not_read_are_found() -> None:
    found = module(MODULE)
    assert {Section.ELEMENT, Section.CODE, Section.DATA} <= found.sections.keys()
    data = found.sections[Section.DATA]
    assert b"hello" in found.data[data.at : data.end]
    assert found.names is not None


def test_a_module_within_other_bytes() -> None:
    wasm = parse(MODULE)
    found = read_module(b"before" + wasm + b"behind", Span(6, 6 + len(wasm)))
    assert found.exports == module(MODULE).exports


def sections(*parts: tuple[int, bytes]) -> bytes:
    return PREAMBLE + b"".join(bytes((code,)) + emit.u32(len(data)) + data for code, data in parts)


@pytest.mark.parametrize(
    ("wasm", "cause"),
    [
        (b"\0asm", "begins with"),
        (sections((1, b"\x00"), (1, b"\x00")), "out of order"),
        (sections((3, b"\x00"), (1, b"\x00")), "out of order"),
        (sections((14, b"")), "no section"),
        (sections((1, b"\x01\x61")), "no type"),
        (sections((1, b"\x00\x00")), "left over"),
        (sections((2, b"\x01\x00\x00\x09")), "nothing to import"),
        (sections((2, b"\x01\x00\x00\x00\x00")), "no type 0"),
        (sections((7, b"\x01\x01a\x00\x00")), "which is not there"),
        (sections((7, b"\x01\x01a\x07\x00")), "nothing to export"),
        (sections((5, b"\x01\x00\x01"), (7, b"\x02\x01a\x02\x00\x01a\x02\x00")), "there twice"),
        (sections((1, b"\x01\x60\x00\x00"), (3, b"\x01\x00")), "1 functions are declared, 0 have a body"),
        (sections((8, b"\x00")), "start function 0 is not there"),
        (sections((6, b"\x01\x7f\x00\x10\x00\x0b")), "no constant instruction"),
        (sections((6, b"\x01\x7f\x00\xfd\x0d" + bytes(17))), "only v128.const"),
        (sections((4, b"\x01\x40\x01\x70\x00\x00\x0b")), "a reserved byte"),
        (sections((13, b"\x01\x01\x00")), "an exception's attribute"),
    ],
)
def test_malformed_modules_say_what_is_wrong(wasm: bytes, cause: str) -> None:
    with pytest.raises(NotWasm, match=r"malformed at byte \d+") as caught:
        read_module(wasm)
    assert cause in (caught.value.cause or "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("(module (memory 1 2 shared))", "threads are not offered"),
        ("(module (type (struct)))", "garbage collection"),
        ("(module (rec (type (func)) (type (func))))", "garbage collection"),
    ],
)
def test_features_that_are_not_offered_are_refused(text: str, said: str) -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        module(text)
    assert said in caught.value.explain()


def test_a_broken_custom_section_must_have_a_name() -> None:
    with pytest.raises(NotWasm):
        read_module(sections((0, b"\x09abc")))


def test_a_small_module_is_valid() -> None:
    kind = CoreFunction(("i32",), ("i32",))
    code = b"\x20\x00\x10\x00\x21\x01\x20\x01"
    wasm = emit.small_module([("callee", kind)], ("call", kind, ("i32",), code))
    assert validate(wasm) == ""
    found = read_module(wasm)
    assert found.exports == {"call": (Kind.FUNC, 1)}
    assert [(item.module, item.name) for item in found.imports] == [("", "callee")]
