"""Constant expressions and segments of several instances."""

from __future__ import annotations

import pytest

from support.components import parse
from wasmind.component.assembly import FromInstance
from wasmind.component.core import emit
from wasmind.component.core.module import Kind, read_module
from wasmind.component.fuse import Unfusable
from wasmind.component.fuse.constants import Constant, Constants, function, integer
from wasmind.component.fuse.layout import Layout, Part, entities, follow, lay_out
from wasmind.component.fuse.segments import datas, elements, write_data, write_element
from wasmind.errors import NotWasm


def instances(*texts: str) -> tuple[Layout, Constants]:
    """Instances of modules; each imports from the one before it, by the same names."""
    parts = []
    for number, text in enumerate(texts):
        module = read_module(parse(text))
        parts.append(Part(module, [FromInstance(number - 1, item.name) for item in module.imports]))
    entities(parts)
    layout = lay_out(parts, {})
    return layout, Constants(layout)


BASE = """
(module
  (global (export "a") i32 (i32.const 100))
  (global (export "b") i64 (i64.const -1))
  (global (export "m") (mut i32) (i32.const 7))
  (global (export "f") f32 (f32.const 1.5))
  (func $f) (func $g)
  (global (export "r") funcref (ref.func $g))
  (table (export "t") 5 funcref)
  (memory (export "mem") 1))
"""


def test_values_of_other_instances_are_known() -> None:
    layout, constants = instances(
        BASE,
        """
        (module
          (import "" "a" (global $a i32))
          (import "" "b" (global $b i64))
          (import "" "f" (global $f f32))
          (import "" "r" (global $r funcref))
          (global i32 (i32.add (global.get $a) (i32.mul (i32.const 3) (i32.const -2))))
          (global i64 (i64.sub (global.get $b) (i64.const 1)))
          (global f32 (global.get $f))
          (global funcref (global.get $r))
          (global funcref (ref.null func)))
        """,
    )
    own = [constants.initial((1, index)) for index in range(4, 9)]
    assert own[0].integer == ("i32", 94)
    assert own[1].integer == ("i64", -2)
    assert own[2] == Constant(b"\x43\x00\x00\xc0\x3f")
    assert own[3].function == 1
    assert own[4] == Constant(b"\xd0\x70")
    assert layout.parts[1].maps[Kind.GLOBAL] == [0, 1, 3, 4, 5, 6, 7, 8, 9]


def test_only_numbers_that_never_change_are_constants_in_code() -> None:
    _, constants = instances(BASE)
    assert constants.immutable((0, 0)) == integer("i32", 100)
    assert constants.immutable((0, 2)) is None
    assert constants.immutable((0, 3)) == Constant(b"\x43\x00\x00\xc0\x3f")
    assert constants.immutable((0, 4)) is None


def test_integers_wrap() -> None:
    assert integer("i32", 1 << 31) == Constant(b"\x41" + emit.signed(-(1 << 31)), ("i32", -(1 << 31)))
    assert integer("i32", (1 << 32) + 5).integer == ("i32", 5)
    assert integer("i64", -(1 << 63) - 1).integer == ("i64", (1 << 63) - 1)


@pytest.mark.parametrize(
    ("init", "cause"),
    [
        (b"\x0b", "does not give one value"),
        (b"\x41\x00\x41\x00\x0b", "does not give one value"),
        (b"\x41\x00\x6a\x0b", "something else than two integers"),
        (b"\x41\x00\x42\x00\x6a\x0b", "something else than two integers"),
        (b"\x23\x00\x0b", "there is no global 0"),
        (b"\x23\x05\x0b", "there is no global 5"),
        (b"\xd2\x05\x0b", "there is no function 5"),
    ],
)
def test_wrong_expressions_are_malformed(init: bytes, cause: str) -> None:
    wasm = b"\0asm\1\0\0\0\x06" + emit.u32(3 + len(init)) + b"\x01\x7f\x00" + init
    parts = [Part(read_module(wasm), [])]
    entities(parts)
    layout = lay_out(parts, {})
    with pytest.raises(NotWasm) as caught:
        Constants(layout)
    assert cause in (caught.value.cause or "")


def test_a_reference_to_a_function_that_is_left_out_cannot_be_fused() -> None:
    assert function(3) == Constant(b"\xd2\x03", None, 3)
    with pytest.raises(Unfusable):
        function(-1)


SEGMENTS = """
(module
  (import "" "a" (global $a i32))
  (import "" "t" (table $t 1 funcref))
  (import "" "mem" (memory 1))
  (table $own 3 funcref)
  (func $one) (func $two)
  (elem (table $t) (global.get $a) func $one $two)
  (elem (table $own) (i32.const 1) func $two)
  (elem func $one)
  (elem declare func $two)
  (elem (table $own) (i32.const 0) funcref (ref.func $one) (ref.null func))
  (elem funcref (ref.func $two))
  (data (global.get $a) "abc")
  (data (i32.const 5) "de")
  (data "passive"))
"""


def test_segments_are_written_for_the_fused_module() -> None:
    layout, constants = instances(BASE, SEGMENTS)
    part = layout.parts[1]
    found = elements(part, constants)
    assert [each.table for each in found] == [0, 1, None, None, 1, None]
    assert [each.declared for each in found] == [False, False, False, True, False, False]
    written = [write_element(each, layout) for each in found]
    assert written[0] == b"\x02\x00\x41" + emit.signed(100) + b"\x0b\x00\x02\x02\x03"
    assert written[1] == b"\x02\x01\x41\x01\x0b\x00\x01\x03"
    assert written[2] == b"\x01\x00\x01\x02"
    assert written[3] == b"\x03\x00\x01\x03"
    assert written[4] == b"\x06\x01\x41\x00\x0b\x70\x02\xd2\x02\x0b\xd0\x70\x0b"
    assert written[5] == b"\x01\x00\x01\x03"


def test_data_segments_are_written_for_the_fused_module() -> None:
    layout, constants = instances(BASE, SEGMENTS)
    part = layout.parts[1]
    found = datas(part, constants)
    heads = [write_data(each) for each in found]
    assert heads == [b"\x00\x41" + emit.signed(100) + b"\x0b\x03", b"\x00\x41\x05\x0b\x02", b"\x01\x07"]
    assert [part.module.data[each.content.at : each.content.end] for each in found] == [
        b"abc",
        b"de",
        b"passive",
    ]


def test_a_data_segment_of_another_memory() -> None:
    layout, constants = instances(
        BASE, '(module (import "" "mem" (memory 1)) (memory 1) (data (memory 1) (i32.const 5) "de"))'
    )
    (found,) = datas(layout.parts[1], constants)
    assert write_data(found) == b"\x02\x01\x41\x05\x0b\x02"


@pytest.mark.parametrize(
    ("section", "cause"),
    [
        (b"\x09\x06\x01\x08\x41\x00\x0b\x00", "no flags of an element segment"),
        (b"\x09\x06\x01\x00\x41\x00\x0b\x00", "no index 0"),
        (b"\x09\x05\x01\x01\x00\x01\x05", "no index 5"),
        (b"\x09\x04\x01\x01\x01\x00", "expected functions"),
        (b"\x0b\x06\x01\x03\x41\x00\x0b\x00", "no flags of a data segment"),
        (b"\x0b\x06\x01\x00\x41\x00\x0b\x00", "no index 0"),
        (b"\x0b\x04\x01\x01\x05a", "are left"),
    ],
)
def test_wrong_segments_are_malformed(section: bytes, cause: str) -> None:
    parts = [Part(read_module(b"\0asm\1\0\0\0" + section), [])]
    entities(parts)
    layout = lay_out(parts, {})
    constants = Constants(layout)
    with pytest.raises(NotWasm) as caught:
        [*elements(parts[0], constants), *datas(parts[0], constants)]
    assert cause in (caught.value.cause or "")


def test_functions_that_forward_in_a_circle_cannot_be_fused() -> None:
    assert follow((0, 1), {(0, 1): (0, 2)}) == (0, 2)
    with pytest.raises(Unfusable, match="circle"):
        follow((0, 1), {(0, 1): (0, 2), (0, 2): (0, 1)})


def test_layouts_begin_with_what_the_host_provides() -> None:
    layout, _ = instances(BASE, SEGMENTS)
    assert layout.functions == 4
    assert layout.index(FromInstance(0, "t")) == (Kind.TABLE, 0)
    assert layout.parts[1].maps[Kind.FUNC] == [2, 3]
    with pytest.raises(Unfusable, match="another kind"):
        instances(BASE, '(module (import "" "a" (func)))')
