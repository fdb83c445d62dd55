"""The Component Model's types, with every index resolved (Explainer.md, "Type Definitions").

Types are values: frozen, hashable, equal when they mean the same, and storable with msgspec. A resource type
is the one thing that has an identity, its number in the plan it belongs to.
"""

from __future__ import annotations

from enum import Enum

import msgspec


class Primitive(Enum):
    """A type without parts; the value is its name in WIT."""

    BOOL = "bool"
    S8 = "s8"
    U8 = "u8"
    S16 = "s16"
    U16 = "u16"
    S32 = "s32"
    U32 = "u32"
    S64 = "s64"
    U64 = "u64"
    F32 = "f32"
    F64 = "f64"
    CHAR = "char"
    STRING = "string"


class Compound(msgspec.Struct, frozen=True, tag_field="kind"):
    """A type made of others."""


class List(Compound, frozen=True, tag="list"):
    """A list; with `length`, of exactly that many elements, laid out in place."""

    element: ValueType
    length: int | None = None


class Field(msgspec.Struct, frozen=True, array_like=True):
    """A field of a record, or a parameter of a function."""

    name: str
    type: ValueType


class Record(Compound, frozen=True, tag="record"):
    """Named fields, at least one."""

    fields: tuple[Field, ...]


class Tuple(Compound, frozen=True, tag="tuple"):
    """Fields without names, at least one."""

    elements: tuple[ValueType, ...]


class Case(msgspec.Struct, frozen=True, array_like=True):
    """A case of a variant, with or without a payload."""

    name: str
    type: ValueType | None = None


class Variant(Compound, frozen=True, tag="variant"):
    """One of several cases, at least one."""

    cases: tuple[Case, ...]


class EnumType(Compound, frozen=True, tag="enum"):
    """One of several names, at least one."""

    names: tuple[str, ...]


class Option(Compound, frozen=True, tag="option"):
    """A value or nothing."""

    some: ValueType


class Result(Compound, frozen=True, tag="result"):
    """Success or failure, each with or without a payload."""

    ok: ValueType | None = None
    error: ValueType | None = None


class Flags(Compound, frozen=True, tag="flags"):
    """A set of names: 1 to 32 of them, one bit each."""

    names: tuple[str, ...]


class ResourceType(msgspec.Struct, frozen=True, array_like=True):
    """A resource type, by its number in the plan (`Plan.resources[number]` tells who implements it)."""

    number: int


class Own(Compound, frozen=True, tag="own"):
    """A handle that owns its resource."""

    resource: ResourceType


class Borrow(Compound, frozen=True, tag="borrow"):
    """A handle that lends a resource for the length of a call."""

    resource: ResourceType


ValueType = Primitive | List | Record | Tuple | Variant | EnumType | Option | Result | Flags | Own | Borrow
"""What a parameter, a result or a part of either may be."""


class FunctionType(msgspec.Struct, frozen=True):
    """A function's named parameters and its result, if it has one."""

    params: tuple[Field, ...]
    result: ValueType | None = None


class StringEncoding(Enum):
    """How a guest keeps its strings in memory (Binary.md, `canonopt`)."""

    UTF8 = "utf8"
    UTF16 = "utf16"
    LATIN1_UTF16 = "latin1+utf16"
