"""Whole binaries: what is read, what is malformed and where, what is refused and why."""

from __future__ import annotations

import pytest

from support.components import parse
from wasmind.component.binary import definitions as d
from wasmind.component.binary.reader import MAX_DEPTH, PREAMBLE, is_component, read_component
from wasmind.component.core import emit
from wasmind.component.types import Primitive, StringEncoding
from wasmind.errors import NotWasm, ProgramTooLarge, UnsupportedFeature


def section(code: int, *items: bytes) -> bytes:
    body = emit.u32(len(items)) + b"".join(items)
    return bytes((code,)) + emit.u32(len(body)) + body


def raw(code: int, body: bytes) -> bytes:
    return bytes((code,)) + emit.u32(len(body)) + body


def body(*sections: bytes) -> tuple[d.Definition, ...]:
    return read_component(PREAMBLE + b"".join(sections)).body


def test_components_and_modules_are_told_apart() -> None:
    assert is_component(parse("(component)"))
    assert not is_component(parse("(module)"))
    assert not is_component(b"")
    with pytest.raises(NotWasm, match="no component begins at byte 0"):
        read_component(parse("(module)"))


def test_every_kind_of_definition_is_read() -> None:
    found = read_component(
        parse(
            """
            (component
              (import "a:b/c@1.2.3" (instance $i (export "r" (type (sub resource))) (export "f" (func))))
              (core module $m (func (export "f")) (memory (export "memory") 1))
              (core instance $c (instantiate $m))
              (alias export $i "r" (type $r))
              (core func $drop (canon resource.drop $r))
              (core func $low (canon lower (func $i "f") string-encoding=utf16))
              (core instance $bundle (export "f" (func $low)))
              (component $inner (type $t u8) (export "x" (type $t)))
              (instance $made (instantiate $inner))
              (func $lifted (canon lift (core func $c "f")))
              (instance $out (export "g" (func $lifted)))
              (export "out" (instance $out)))
            """
        )
    )
    kinds = {type(each) for each in found.body}
    assert kinds >= {
        d.DefineType,
        d.Import,
        d.DefineModule,
        d.CoreInstantiate,
        d.AliasExport,
        d.CanonResource,
        d.CanonLower,
        d.CoreBundle,
        d.DefineComponent,
        d.Instantiate,
        d.CanonLift,
        d.Bundle,
        d.Export,
    }
    imported = next(each for each in found.body if isinstance(each, d.Import))
    assert (imported.name, imported.type.sort) == ("a:b/c@1.2.3", d.Sort.INSTANCE)
    lowered = next(each for each in found.body if isinstance(each, d.CanonLower))
    assert lowered.options == d.CanonOptions(encoding=StringEncoding.UTF16)
    module = next(each for each in found.body if isinstance(each, d.DefineModule))
    assert module.end > module.at


def test_definitions_keep_their_offsets_and_order() -> None:
    found = body(section(7, b"\x7f", b"\x70\x00"), section(11, b"\x00\x01a\x03\x01\x00"))
    first, second, exported = found
    assert isinstance(first, d.DefineType)
    assert first == d.DefineType(len(PREAMBLE) + 3, Primitive.BOOL)
    assert second == d.DefineType(len(PREAMBLE) + 4, d.ListDef(0))
    assert exported == d.Export(exported.at, "a", d.Sort.TYPE, 1, None)


def test_value_types() -> None:
    types = [
        (b"\x72\x01\x01a\x7d", d.RecordDef((("a", Primitive.U8),))),
        (b"\x71\x02\x01a\x00\x00\x01b\x01\x73\x00", d.VariantDef((("a", None), ("b", Primitive.STRING)))),
        (b"\x67\x7d\x04", d.ListDef(Primitive.U8, 4)),
        (b"\x6f\x02\x7d\x7c", d.TupleDef((Primitive.U8, Primitive.S16))),
        (b"\x6e\x01\x01a", d.FlagsDef(("a",))),
        (b"\x6d\x01\x01a", d.EnumDef(("a",))),
        (b"\x6b\x79", d.OptionDef(Primitive.U32)),
        (b"\x6a\x01\x79\x00", d.ResultDef(Primitive.U32, None)),
        (b"\x69\x03", d.HandleDef(3, owned=True)),
        (b"\x68\x03", d.HandleDef(3, owned=False)),
        (b"\x63\x73\x79", d.MapDef(Primitive.STRING, Primitive.U32)),
        (b"\x40\x01\x01a\x7d\x01\x00", d.FuncDef((("a", Primitive.U8),), None)),
        (b"\x40\x00\x00\x73", d.FuncDef((), Primitive.STRING)),
        (b"\x3f\x7f\x01\x05", d.ResourceDef(5)),
    ]
    found = body(section(7, *(data for data, _ in types)))
    assert [each.type for each in found if isinstance(each, d.DefineType)] == [kind for _, kind in types]


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (section(7, b"\x72\x00"), "a record has at least one"),
        (section(7, b"\x71\x00"), "a variant has at least one"),
        (section(7, b"\x6f\x00"), "a tuple has at least one"),
        (section(7, b"\x6d\x00"), "an enum has at least one"),
        (section(7, b"\x6e\x00"), "a flags type has 1 to 32"),
        (section(7, b"\x6e\x21" + b"".join(emit.name(f"f{n}") for n in range(33))), "1 to 32, not 33"),
        (section(7, b"\x67\x7d\x00"), "fixed length"),
        (section(7, b"\x72\x02\x01a\x7d\x01A\x7d"), "a name is there twice"),
        (section(7, b"\x72\x01\x02a_\x7d"), "not a name in kebab-case"),
        (section(7, b"\x71\x01\x01a\x00\x01"), "the end of a case"),
        (section(7, b"\x41\x01\x05"), "no declaration"),
        (section(7, b"\x42\x01\x03\x00\x01a\x01\x00"), "no declaration"),
        (section(7, b"\x40\x00\x01\x01"), "one result without a name"),
        (section(7, b"\x3f\x7d\x00"), "can only be represented by `i32`"),
        (section(7, b"\x5f"), "no type"),
        (section(7, b"\x70\x40"), "no value type"),
        (section(2, b"\x02"), "no core instance"),
        (section(2, b"\x00\x00\x01\x01a\x11\x00"), "the sort of core instances"),
        (section(5, b"\x02"), "no instance"),
        (section(6, b"\x01\x03\x00"), "no alias"),
        (section(6, b"\x01\x02\x00\x00"), "cannot be aliased from outside"),
        (section(6, b"\x07"), "no sort"),
        (section(6, b"\x00\x07"), "no core sort"),
        (section(8, b"\x70"), "no canonical definition"),
        (section(8, b"\x00\x01\x00"), "the sort of functions"),
        (section(8, b"\x01\x00\x00\x02\x00\x01"), "encoding is there twice"),
        (section(8, b"\x01\x00\x00\x01\x20"), "no canonical option"),
        (section(10, b"\x03\x01a\x01\x00"), "begins no name"),
        (section(10, b"\x00\x02A_\x01\x00"), "neither a plain name nor an interface's"),
        (section(10, b"\x00\x01a\x06\x00"), "nothing to import"),
        (section(10, b"\x00\x01a\x03\x02"), "bounds no type"),
        (section(10, b"\x02\x01a\x02\x02\x01x\x02\x01y\x05\x00"), "is there twice"),
        (section(10, b"\x02\x01a\x01\x03\x01x\x05\x00"), "no attribute"),
        (section(10, b"\x02\x05a:b/c\x01\x00\x05x:y/z\x05\x00"), "only what has a plain name"),
        (section(11, b"\x00\x01a\x01\x00\x02"), "expected 0x00 or 0x01"),
        (section(3, b"\x40"), "no core type"),
        (section(3, b"\x50\x01\x05"), "no part of a module type"),
        (section(3, b"\x50\x01\x03\x01a\x07"), "nothing to import or export"),
        (raw(13, b""), "no section"),
        (raw(7, b"\x00\x00"), "left over"),
        (raw(7, b"\x01"), "bytes are left"),
        (raw(0, b"\x05ab"), "are left"),
    ],
)
def test_malformed_components_say_what_is_wrong(data: bytes, cause: str) -> None:
    with pytest.raises(NotWasm, match=r"malformed at byte \d+") as caught:
        body(data)
    assert cause in (caught.value.cause or "")


def test_a_custom_section_is_passed_over() -> None:
    assert body(raw(0, b"\x04name" + bytes(20))) == ()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (raw(9, b"\x00\x00\x00"), "values or a start function"),
        (raw(12, b"\x00"), "values or a start function"),
        (section(10, b"\x00\x01a\x02\x01\x7d"), "values or a start function"),
        (section(11, b"\x00\x01a\x02\x00\x00"), "values or a start function"),
        (section(7, b"\x43\x00\x01\x00"), "an async function type"),
        (section(7, b"\x66\x00"), "stream"),
        (section(7, b"\x65\x01\x7d"), "future"),
        (section(7, b"\x70\x64"), "error-context"),
        (section(7, b"\x3f\x7e\x00"), "represented by an i64"),
        (section(8, b"\x09\x01\x00\x00"), "canon task.return"),
        (section(8, b"\x1f"), "canon waitable-set.new"),
        (section(8, b"\x26"), "threads"),
        (section(8, b"\x00\x00\x00\x01\x06\x00"), "async canonical option"),
        (section(8, b"\x01\x00\x00\x01\x09"), "garbage-collected guests"),
        (section(3, b"\x5f\x00"), "garbage collection"),
    ],
)
def test_what_is_not_offered_is_refused_with_a_reason(data: bytes, said: str) -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        body(data)
    assert said in caught.value.explain()


def test_an_asynchronous_component_is_told_what_to_build_instead() -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        read_component(parse('(component (import "f" (func async)))'))
    assert caught.value.remedy == "build it for WASI 0.2 (wasm32-wasip2)"


def nested(depth: int) -> bytes:
    data = PREAMBLE
    for _ in range(depth):
        data = PREAMBLE + raw(4, data)
    return data


def test_nesting_is_limited() -> None:
    assert read_component(nested(MAX_DEPTH)).depth == 0
    with pytest.raises(ProgramTooLarge, match="nests deeper"):
        read_component(nested(MAX_DEPTH + 1))


def test_nesting_of_types_is_limited() -> None:
    kind = b"\x42\x00"
    for _ in range(MAX_DEPTH + 2):
        kind = b"\x42\x01\x01" + kind
    with pytest.raises(ProgramTooLarge, match="nests deeper"):
        body(section(7, kind))


def test_the_number_of_definitions_is_limited() -> None:
    many = PREAMBLE + section(7, *[b"\x7f"] * 300_001)
    with pytest.raises(ProgramTooLarge, match="definitions"):
        read_component(many)
