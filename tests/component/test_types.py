"""Types are values, and can be stored."""

from __future__ import annotations

import msgspec
import pytest

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

KINDS: list[ValueType] = [
    *Primitive,
    List(Primitive.U8),
    List(Primitive.U8, 4),
    Record((Field("a", Primitive.U8),)),
    Tuple((Primitive.U8, List(Primitive.STRING))),
    Variant((Case("a"), Case("b", Primitive.U8))),
    EnumType(("a", "b")),
    Flags(("a", "b")),
    Option(Option(Primitive.U8)),
    Result(),
    Result(Primitive.U8, Own(ResourceType(1))),
    Own(ResourceType(1)),
    Borrow(ResourceType(1)),
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_types_come_back_from_storage(kind: ValueType) -> None:
    function = FunctionType((Field("x", kind),), kind)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(function), type=FunctionType) == function


def test_types_are_equal_when_they_mean_the_same() -> None:
    assert len({*KINDS, *KINDS}) == len(KINDS)
    assert Own(ResourceType(1)) == Own(ResourceType(1))
    assert Own(ResourceType(1)) != Own(ResourceType(2))
    assert Own(ResourceType(1)) != Borrow(ResourceType(1))
