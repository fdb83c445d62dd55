"""How values lie in linear memory and how they flatten to core values.

CanonicalABI.md, "Alignment" to "Flattening". Sizes and alignments are in bytes, for 32-bit memories;
64-bit ones are refused when a component is deployed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import msgspec

from wasmind.component.types import (
    Borrow,
    EnumType,
    Flags,
    FunctionType,
    List,
    Option,
    Own,
    Primitive,
    Record,
    Result,
    Tuple,
    ValueType,
    Variant,
)

CoreType: TypeAlias = Literal["i32", "i64", "f32", "f64"]

MAX_FLAT_PARAMS = 16
MAX_FLAT_RESULTS = 1
MAX_BYTES = (1 << 28) - 1
"""The longest list or string, in bytes (CanonicalABI.md, MAX_LIST_BYTE_LENGTH)."""

_SCALARS: dict[Primitive, tuple[int, CoreType]] = {
    Primitive.BOOL: (1, "i32"),
    Primitive.S8: (1, "i32"),
    Primitive.U8: (1, "i32"),
    Primitive.S16: (2, "i32"),
    Primitive.U16: (2, "i32"),
    Primitive.S32: (4, "i32"),
    Primitive.U32: (4, "i32"),
    Primitive.S64: (8, "i64"),
    Primitive.U64: (8, "i64"),
    Primitive.F32: (4, "f32"),
    Primitive.F64: (8, "f64"),
    Primitive.CHAR: (4, "i32"),
}


class Layout(msgspec.Struct, frozen=True):
    """What a value takes in memory: `size` is a multiple of `align`."""

    size: int
    align: int


class Placement(msgspec.Struct, frozen=True):
    """Where the parts of a record or tuple are, relative to its start."""

    offsets: tuple[int, ...]
    layout: Layout


class Cases(msgspec.Struct, frozen=True):
    """Where a variant's discriminant ends and its payload begins, relative to its start."""

    discriminant: int
    """Bytes of the discriminant: 1, 2 or 4."""
    payload: int
    layout: Layout


def align_to(offset: int, align: int) -> int:
    """The next multiple of `align`, a power of two."""
    return (offset + align - 1) & -align


def layout(kind: ValueType) -> Layout:
    """The size and alignment of a type."""
    match kind:
        case Primitive.STRING:
            return Layout(8, 4)
        case Primitive():
            size = _SCALARS[kind][0]
            return Layout(size, size)
        case List(element, length):
            if length is None:
                return Layout(8, 4)
            each = layout(element)
            return Layout(each.size * length, each.align)
        case Record() | Tuple():
            return placement(parts(kind)).layout
        case Flags(names):
            size = 1 if len(names) <= 8 else 2 if len(names) <= 16 else 4
            return Layout(size, size)
        case Own() | Borrow():
            return Layout(4, 4)
        case _:
            return cases(payloads(kind)).layout


def placement(types: Iterable[ValueType]) -> Placement:
    """Lay parts out one after the other, each at its alignment."""
    offsets, end, align = [], 0, 1
    for kind in types:
        part = layout(kind)
        offsets.append(start := align_to(end, part.align))
        end, align = start + part.size, max(align, part.align)
    return Placement(tuple(offsets), Layout(align_to(end, align), align))


def cases(types: Sequence[ValueType | None]) -> Cases:
    """Lay a variant's cases out over each other, behind the discriminant."""
    count = len(types)
    discriminant = 1 if count <= 1 << 8 else 2 if count <= 1 << 16 else 4
    size, align = 0, 1
    for kind in types:
        if kind is not None:
            part = layout(kind)
            size, align = max(size, part.size), max(align, part.align)
    payload = align_to(discriminant, align)
    align = max(align, discriminant)
    return Cases(discriminant, payload, Layout(align_to(payload + size, align), align))


def parts(kind: Record | Tuple) -> tuple[ValueType, ...]:
    """The types of a record's fields or a tuple's elements."""
    return kind.elements if isinstance(kind, Tuple) else tuple(field.type for field in kind.fields)


def payloads(kind: Variant | EnumType | Option | Result) -> tuple[ValueType | None, ...]:
    """The payload types of a variant's cases, in order; an enum, option or result is a variant too."""
    match kind:
        case Variant(cases):
            return tuple(case.type for case in cases)
        case EnumType(names):
            return (None,) * len(names)
        case Option(some):
            return (None, some)
        case Result(ok, error):
            return (ok, error)


def flatten(types: Iterable[ValueType], limit: int) -> list[CoreType]:
    """The core types that values flatten to; no more than `limit` + 1 of them are computed."""
    flat: list[CoreType] = []
    for kind in types:
        flat += _flatten_one(kind, limit - len(flat))
        if len(flat) > limit:
            return flat[: limit + 1]
    return flat


def _flatten_one(kind: ValueType, limit: int) -> list[CoreType]:
    match kind:
        case Primitive.STRING:
            return ["i32", "i32"]
        case Primitive():
            return [_SCALARS[kind][1]]
        case List(element, length):
            if length is None:
                return ["i32", "i32"]
            each = _flatten_one(element, limit)
            return each * min(length, limit // max(len(each), 1) + 1)
        case Record() | Tuple():
            return flatten(parts(kind), limit)
        case Flags() | Own() | Borrow():
            return ["i32"]
        case _:
            return _flatten_cases(payloads(kind), limit)


def _flatten_cases(types: Sequence[ValueType | None], limit: int) -> list[CoreType]:
    joined: list[CoreType] = []
    for kind in types:
        if kind is None:
            continue
        for at, core in enumerate(_flatten_one(kind, limit - 1)):
            if at == len(joined):
                joined.append(core)
            else:
                joined[at] = join(joined[at], core)
    return ["i32", *joined]


def join(one: CoreType, other: CoreType) -> CoreType:
    """The core type wide enough for both."""
    if one == other:
        return one
    return "i32" if {one, other} == {"i32", "f32"} else "i64"


class Signature(msgspec.Struct, frozen=True):
    """The core signature of a function, and which way its values go."""

    params: tuple[CoreType, ...]
    results: tuple[CoreType, ...]
    params_in_memory: bool
    """More parameters than fit: one pointer to a tuple of them."""
    result_in_memory: bool
    """More results than fit: one pointer, which is the last parameter when lowered, else the result."""


def signature(kind: FunctionType, way: Literal["lift", "lower"]) -> Signature:
    """The core signature of a lifted (exported) or a lowered (imported) function."""
    params: list[CoreType] = flatten((field.type for field in kind.params), MAX_FLAT_PARAMS)
    results: list[CoreType] = [] if kind.result is None else flatten((kind.result,), MAX_FLAT_RESULTS)
    if spilled := len(params) > MAX_FLAT_PARAMS:
        params = ["i32"]
    if returned := len(results) > MAX_FLAT_RESULTS:
        if way == "lower":
            params, results = [*params, "i32"], []
        else:
            results = ["i32"]
    return Signature(tuple(params), tuple(results), spilled, returned)
