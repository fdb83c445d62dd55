from __future__ import annotations

import ctypes
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmind.sandbox import F32, F64, S32, S64, U32, U64, Kind, Scalar, Signature
from wasmind.sandbox.values import checked_layout, raw_layout, scalar

ALIASES: dict[str, Any] = {"U32": U32, "S32": S32, "U64": U64, "S64": S64, "F32": F32, "F64": F64}


def of(name: str) -> Scalar:
    found = scalar(name)
    assert found is not None
    return found


@pytest.mark.parametrize("name", ALIASES)
def test_names_and_objects_mean_the_same(name: str) -> None:
    for text in (name, f"sandbox.{name}", f"{name} | Awaitable[{name}]", f"Awaitable[{name}] | {name}"):
        assert scalar(text) == scalar(ALIASES[name])
    assert of(name).name == name


@pytest.mark.parametrize("annotation", ["None", None, type(None)])
def test_none_is_no_value(annotation: object) -> None:
    assert scalar(annotation) is None


@pytest.mark.parametrize("annotation", ["int", int, "str", "", "list[U32]", 3])
def test_other_annotations_are_refused(annotation: object) -> None:
    with pytest.raises(TypeError, match="is no type of a host function"):
        scalar(annotation)


def test_kinds_have_the_numbers_of_the_c_api_and_of_the_binary_format() -> None:
    assert [(str(k), k.number, k.byte) for k in Kind] == [
        ("i32", 0, 0x7F),
        ("i64", 1, 0x7E),
        ("f32", 2, 0x7D),
        ("f64", 3, 0x7C),
    ]


def test_signatures_read_as_the_text_format_names_them() -> None:
    assert str(Signature((Kind.I32, Kind.F64), (Kind.I64,))) == "(i32, f64) -> (i64)"
    assert str(Signature()) == "() -> ()"


@given(st.integers(0, 2**32 - 1), st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**64 - 1), st.floats())
def test_layouts_put_each_value_in_its_cell(a: int, b: int, c: int, d: float) -> None:
    scalars = (of("U32"), of("S32"), of("U64"), of("F64"))
    for layout, cell, offset in ((raw_layout(scalars), 16, 0), (checked_layout(scalars), 32, 8)):
        assert layout.size == 4 * cell
        memory = bytearray(layout.size)
        for index, (code, value) in enumerate(zip("IiQd", (a, b, c, d), strict=True)):
            struct.pack_into("<" + code, memory, index * cell + offset, value)
        got = layout.unpack(memory)
        assert got[:3] == (a, b, c)
        assert got[3] == d or (math.isnan(got[3]) and math.isnan(d))


def test_the_layouts_are_those_of_the_c_headers() -> None:
    """`wasmtime_val_t` is a kind byte and a union whose largest member has 24 bytes."""

    class Reference(ctypes.Structure):
        _fields_ = [
            ("store", ctypes.c_uint64),
            ("a", ctypes.c_uint32),
            ("b", ctypes.c_uint32),
            ("c", ctypes.c_void_p),
        ]

    class Of(ctypes.Union):
        _fields_ = [("i64", ctypes.c_int64), ("v128", ctypes.c_uint8 * 16), ("externref", Reference)]

    class Value(ctypes.Structure):
        _fields_ = [("kind", ctypes.c_uint8), ("of", Of)]

    assert ctypes.sizeof(Value) == checked_layout((of("U64"),)).size
    assert Value.of.offset == 8
