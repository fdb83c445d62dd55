"""Value and function types from their definitions, and what is refused."""

from __future__ import annotations

import pytest

from wasmind.component.abi.layout import layout
from wasmind.component.binary import definitions as d
from wasmind.component.evaluate.items import BodyItem, FunctionItem, ResourceItem, TypeItem, ValueItem
from wasmind.component.evaluate.scope import Scope
from wasmind.component.evaluate.values import MAX_DEPTH, define_function, define_value
from wasmind.component.types import (
    Borrow,
    Case,
    EnumType,
    Field,
    Flags,
    FunctionType,
    List,
    Option,
    Own,
    Primitive,
    Record,
    ResourceType,
    Result,
    Tuple,
    ValueType,
    Variant,
)
from wasmind.errors import InvalidProgram, ProgramTooLarge

U8, U32, U64, STRING = Primitive.U8, Primitive.U32, Primitive.U64, Primitive.STRING
RESOURCE = ResourceItem(ResourceType(4))


class Types:
    """A type index space."""

    def __init__(self, *items: TypeItem) -> None:
        self.items = list(items)

    def __call__(self, index: int) -> TypeItem:
        return self.items[index]

    def add(self, definition: d.ValueDef) -> ValueItem:
        item = define_value(definition, self)
        self.items.append(item)
        return item


@pytest.mark.parametrize(
    ("definition", "kind"),
    [
        (U8, U8),
        (d.ListDef(U8), List(U8)),
        (d.ListDef(U8, 3), List(U8, 3)),
        (d.RecordDef((("a", U8), ("b", STRING))), Record((Field("a", U8), Field("b", STRING)))),
        (d.TupleDef((U8, U64)), Tuple((U8, U64))),
        (d.VariantDef((("a", None), ("b", U32))), Variant((Case("a"), Case("b", U32)))),
        (d.EnumDef(("x", "y")), EnumType(("x", "y"))),
        (d.FlagsDef(("x", "y")), Flags(("x", "y"))),
        (d.OptionDef(U32), Option(U32)),
        (d.ResultDef(None, STRING), Result(None, STRING)),
        (d.MapDef(STRING, U32), List(Tuple((STRING, U32)))),
        (d.HandleDef(0, owned=True), Own(ResourceType(4))),
        (d.HandleDef(0, owned=False), Borrow(ResourceType(4))),
    ],
)
def test_definitions_become_types(definition: d.ValueDef, kind: ValueType) -> None:
    assert define_value(definition, Types(RESOURCE)).type == kind


def test_types_are_resolved_through_their_indices() -> None:
    types = Types()
    types.add(d.ListDef(U8))
    types.add(d.OptionDef(0))
    outer = types.add(d.RecordDef((("a", 0), ("b", 1))))
    assert outer.type == Record((Field("a", List(U8)), Field("b", Option(List(U8)))))
    assert outer.parts == tuple(types.items[:2])
    assert outer.nodes == 1 + 2 + 3
    assert outer.named
    assert outer.pointers


@pytest.mark.parametrize(
    "definition",
    [
        d.TupleDef((U8, U64, U8)),
        d.VariantDef((("a", None), ("b", U64))),
        d.EnumDef(tuple(f"n{n}" for n in range(300))),
        d.FlagsDef(tuple(f"n{n}" for n in range(9))),
        d.ResultDef(Primitive.F64, U8),
        d.ListDef(U32, 5),
    ],
)
def test_sizes_without_pointers_are_those_of_32_bit_memories(definition: d.ValueDef) -> None:
    item = define_value(definition, Types())
    known = layout(item.type)
    assert (item.size, item.align) == (known.size, known.align)


def test_pointers_count_as_wide_ones() -> None:
    assert define_value(d.TupleDef((STRING, U8)), Types()).size == 24


def test_a_value_is_smaller_than_2_to_the_28() -> None:
    types = Types()
    assert types.add(d.ListDef(U8, (1 << 28) - 1)).size == (1 << 28) - 1
    with pytest.raises(InvalidProgram, match="268435456 bytes"):
        types.add(d.ListDef(U8, 1 << 28))
    with pytest.raises(InvalidProgram):
        types.add(d.TupleDef((0, U8)))


def test_a_type_that_doubles_at_each_level_is_too_large() -> None:
    types = Types()
    types.add(d.VariantDef((("a", U8), ("b", U8))))
    for level in range(12):
        types.add(d.VariantDef((("a", level), ("b", level))))
    with pytest.raises(ProgramTooLarge, match="made of"):
        types.add(d.VariantDef((("a", 12), ("b", 12), ("c", 12))))


def test_a_type_may_only_be_so_deep() -> None:
    types = Types()
    types.add(d.OptionDef(U8))
    for level in range(MAX_DEPTH - 2):
        types.add(d.OptionDef(level))
    with pytest.raises(ProgramTooLarge, match="deep"):
        types.add(d.OptionDef(MAX_DEPTH - 2))


def test_what_is_no_value_type_is_refused() -> None:
    function = FunctionItem(FunctionType(()), (), 1, resources=False)
    body = BodyItem((), Scope(None, is_type=False), component=False)
    for item in (function, body, RESOURCE):
        with pytest.raises(InvalidProgram, match="used as a value type"):
            define_value(d.ListDef(0), Types(item))
    with pytest.raises(InvalidProgram, match="no resource type"):
        define_value(d.HandleDef(0, owned=True), Types(function))
    with pytest.raises(InvalidProgram, match="keys"):
        define_value(d.MapDef(Primitive.F32, U8), Types())


def test_functions() -> None:
    types = Types(RESOURCE)
    types.add(d.HandleDef(0, owned=False))
    found = define_function(d.FuncDef((("self", 1), ("text", STRING)), U32), types)
    assert found.type == FunctionType((Field("self", Borrow(ResourceType(4))), Field("text", STRING)), U32)
    assert found.resources
    assert len(found.parts) == 3
    with pytest.raises(InvalidProgram, match="borrowed handle"):
        define_function(d.FuncDef((), 1), types)


def test_a_function_type_is_limited_too() -> None:
    types = Types()
    types.add(d.EnumDef(tuple(f"n{n}" for n in range(9_000))))
    define_function(d.FuncDef((("a", 0), ("b", 0)), None), types)
    with pytest.raises(ProgramTooLarge):
        define_function(d.FuncDef((("a", 0), ("b", 0), ("c", 0)), None), types)
