"""Sizes, alignments and flattening."""

from __future__ import annotations

import pytest

from support.abi import type_of, vectors
from wasmind.component.abi.layout import (
    MAX_FLAT_PARAMS,
    Layout,
    align_to,
    cases,
    flatten,
    join,
    layout,
    placement,
    signature,
)
from wasmind.component.types import (
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
    Variant,
)

U8, U16, U32, U64 = Primitive.U8, Primitive.U16, Primitive.U32, Primitive.U64
F32, F64, STRING = Primitive.F32, Primitive.F64, Primitive.STRING
HANDLE = Own(ResourceType(0))


@pytest.mark.parametrize("number", range(len(vectors("layout"))))
def test_as_the_reference(number: int) -> None:
    kind, size, align, flat = vectors("layout")[number]
    found = type_of(kind)
    assert layout(found) == Layout(size, align)
    assert flatten((found,), MAX_FLAT_PARAMS) == flat


@pytest.mark.parametrize(
    ("kind", "size", "align"),
    [
        (Primitive.BOOL, 1, 1),
        (Primitive.CHAR, 4, 4),
        (F64, 8, 8),
        (STRING, 8, 4),
        (List(U64), 8, 4),
        (List(U64, 3), 24, 8),
        (HANDLE, 4, 4),
        (Record((Field("a", U8), Field("b", U64), Field("c", U16))), 24, 8),
        (Tuple((U8, U16, U8, U32)), 12, 4),
        (Flags(tuple("abcdefgh")), 1, 1),
        (Flags(tuple("abcdefghi")), 2, 2),
        (Flags(tuple(str(n) for n in range(17))), 4, 4),
        (EnumType(tuple(str(n) for n in range(256))), 1, 1),
        (EnumType(tuple(str(n) for n in range(257))), 2, 2),
        (Option(U64), 16, 8),
        (Result(), 1, 1),
        (Result(U8, STRING), 12, 4),
        (Variant((Case("a", U16), Case("b", F32), Case("c"))), 8, 4),
    ],
)
def test_size_and_alignment(kind: object, size: int, align: int) -> None:
    assert layout(kind) == Layout(size, align)  # type: ignore[arg-type]


def test_fields_lie_at_their_alignment() -> None:
    found = placement((U8, U32, U8, U64))
    assert found.offsets == (0, 4, 8, 16)
    assert found.layout == Layout(24, 8)


def test_payloads_lie_behind_the_discriminant_at_the_widest_alignment() -> None:
    found = cases((U8, U64, None))
    assert (found.discriminant, found.payload, found.layout) == (1, 8, Layout(16, 8))


@pytest.mark.parametrize(
    ("offset", "align", "found"), [(0, 8, 0), (1, 8, 8), (8, 8, 8), (9, 4, 12), (5, 1, 5)]
)
def test_align_to(offset: int, align: int, found: int) -> None:
    assert align_to(offset, align) == found


@pytest.mark.parametrize(
    ("one", "other", "joined"),
    [
        ("i32", "i32", "i32"),
        ("f32", "i32", "i32"),
        ("i32", "f32", "i32"),
        ("f32", "f64", "i64"),
        ("i32", "i64", "i64"),
        ("f64", "i64", "i64"),
        ("f64", "f64", "f64"),
    ],
)
def test_join(one: str, other: str, joined: str) -> None:
    assert join(one, other) == joined  # type: ignore[arg-type]


def test_flattening_stops_beyond_the_limit() -> None:
    """A list of 2^28 bytes in place, a hundred deep, would otherwise take the host's memory."""
    huge = List(List(U8, 1 << 20), 1 << 20)
    assert len(flatten((huge, huge), 16)) == 17
    assert len(flatten((Option(huge),), 16)) == 17
    assert len(flatten([U8] * 100_000, 16)) == 17


def test_signatures() -> None:
    read = FunctionType((Field("self", HANDLE), Field("len", U64)), Result(List(U8), U8))
    lowered = signature(read, "lower")
    assert (lowered.params, lowered.results) == (("i32", "i64", "i32"), ())
    assert lowered.result_in_memory
    assert not lowered.params_in_memory
    lifted = signature(read, "lift")
    assert (lifted.params, lifted.results) == (("i32", "i64"), ("i32",))
    plain = signature(FunctionType((), U32), "lower")
    assert (plain.params, plain.results, plain.result_in_memory) == ((), ("i32",), False)


def test_seventeen_parameters_go_through_memory() -> None:
    fits = FunctionType(tuple(Field(f"p{n}", F32) for n in range(16)))
    assert signature(fits, "lower").params == ("f32",) * 16
    spills = FunctionType(tuple(Field(f"p{n}", F32) for n in range(17)), STRING)
    assert signature(spills, "lower").params == ("i32", "i32")
    assert signature(spills, "lift").params == ("i32",)
    assert signature(spills, "lift").results == ("i32",)
