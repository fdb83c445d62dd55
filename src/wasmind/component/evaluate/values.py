"""Value and function types: definitions become types, and are checked for size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wasmind.component.abi.layout import align_to
from wasmind.component.binary.definitions import (
    EnumDef,
    FlagsDef,
    FuncDef,
    HandleDef,
    ListDef,
    MapDef,
    OptionDef,
    RecordDef,
    ResultDef,
    TupleDef,
    ValueDef,
    ValueRef,
    VariantDef,
)
from wasmind.component.evaluate.items import FunctionItem, ResourceItem, TypeItem, ValueItem
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
    Result,
    Tuple,
    ValueType,
    Variant,
)
from wasmind.errors import InvalidProgram, ProgramTooLarge

MAX_SIZE = 1 << 28
"""A value takes fewer bytes than this in a 64-bit memory (Binary.md, "Type Definitions")."""
MAX_NODES = 20_000
"""How many types a type may be when written out."""
MAX_DEPTH = 100

_SIZES = {
    Primitive.BOOL: 1,
    Primitive.S8: 1,
    Primitive.U8: 1,
    Primitive.S16: 2,
    Primitive.U16: 2,
    Primitive.S32: 4,
    Primitive.U32: 4,
    Primitive.S64: 8,
    Primitive.U64: 8,
    Primitive.F32: 4,
    Primitive.F64: 8,
    Primitive.CHAR: 4,
    Primitive.STRING: 16,
}
_KEYS = frozenset(Primitive) - {Primitive.F32, Primitive.F64}
_PRIMITIVES = {
    kind: ValueItem(kind, (), 1, 1, size, min(size, 8), False, False, False, kind is Primitive.STRING)
    for kind, size in _SIZES.items()
}

Lookup = Callable[[int], TypeItem]
"""The type with an index; it raises InvalidProgram if there is none."""


def value_of(ref: ValueRef, types: Lookup) -> ValueItem:
    """The value type that is used. Raises InvalidProgram if it is no value type."""
    if isinstance(ref, Primitive):
        return _PRIMITIVES[ref]
    item = types(ref)
    if not isinstance(item, ValueItem):
        raise InvalidProgram(f"type {ref} is used as a value type and is none")
    return item


def define_value(definition: ValueDef, types: Lookup) -> ValueItem:
    """A value type from its definition. Raises InvalidProgram or ProgramTooLarge."""
    match definition:
        case Primitive():
            return _compound(definition, (), *_laid((_PRIMITIVES[definition],)))
        case RecordDef(fields):
            parts = [value_of(ref, types) for _, ref in fields]
            kind: ValueType = Record(
                tuple(Field(name, part.type) for (name, _), part in zip(fields, parts, strict=True))
            )
            return _compound(kind, parts, *_laid(parts), named=True)
        case TupleDef(elements):
            parts = [value_of(ref, types) for ref in elements]
            return _compound(Tuple(tuple(part.type for part in parts)), parts, *_laid(parts))
        case ListDef(ref, length):
            element = value_of(ref, types)
            size, align = (16, 8) if length is None else (element.size * length, element.align)
            return _compound(List(element.type, length), (element,), size, align)
        case MapDef(key, value):
            return _map(key, value, types)
        case FlagsDef(names):
            size = 1 if len(names) <= 8 else 2 if len(names) <= 16 else 4
            return _compound(Flags(names), (), size, size, named=True)
        case HandleDef():
            return _handle(definition, types)
        case _:
            return _choice(definition, types)


def _choice(definition: VariantDef | EnumDef | OptionDef | ResultDef, types: Lookup) -> ValueItem:
    def maybe(ref: ValueRef | None) -> ValueItem | None:
        return None if ref is None else value_of(ref, types)

    kind: ValueType
    match definition:
        case VariantDef(cases):
            found = [maybe(ref) for _, ref in cases]
            kind = Variant(
                tuple(Case(name, _type(item)) for (name, _), item in zip(cases, found, strict=True))
            )
        case EnumDef(names):
            found = [None] * len(names)
            kind = EnumType(names)
        case OptionDef(some):
            payload = value_of(some, types)
            found = [None, payload]
            kind = Option(payload.type)
        case ResultDef(ok, error):
            found = [maybe(ok), maybe(error)]
            kind = Result(_type(found[0]), _type(found[1]))
    parts = [item for item in found if item is not None]
    named = isinstance(definition, VariantDef | EnumDef)
    return _compound(kind, parts, *_overlaid(parts, len(found)), named=named)


def _type(item: ValueItem | None) -> ValueType | None:
    return None if item is None else item.type


def _map(key: ValueRef, value: ValueRef, types: Lookup) -> ValueItem:
    keys, values = value_of(key, types), value_of(value, types)
    if keys.type not in _KEYS:
        raise InvalidProgram("a map's keys are integers, bool, char or string")
    return _compound(List(Tuple((keys.type, values.type))), (keys, values), 16, 8)


def _handle(definition: HandleDef, types: Lookup) -> ValueItem:
    item = types(definition.resource)
    if not isinstance(item, ResourceItem):
        raise InvalidProgram(f"type {definition.resource} has handles and is no resource type")
    kind = Own(item.type) if definition.owned else Borrow(item.type)
    return ValueItem(kind, (item,), 2, 2, 4, 4, False, True, not definition.owned, False)


def _laid(parts: Sequence[ValueItem]) -> tuple[int, int]:
    end, align = 0, 1
    for part in parts:
        end, align = align_to(end, part.align) + part.size, max(align, part.align)
    return align_to(end, align), align


def _overlaid(parts: Sequence[ValueItem], count: int) -> tuple[int, int]:
    discriminant = 1 if count <= 1 << 8 else 2 if count <= 1 << 16 else 4
    align = max((part.align for part in parts), default=1)
    payload = align_to(discriminant, align) + max((part.size for part in parts), default=0)
    align = max(align, discriminant)
    return align_to(payload, align), align


def _compound(
    kind: ValueType, parts: Sequence[ValueItem], size: int, align: int, *, named: bool = False
) -> ValueItem:
    if size >= MAX_SIZE:
        raise InvalidProgram(f"a value type of {size} bytes", cause=f"they take fewer than {MAX_SIZE}")
    nodes = 1 + sum(part.nodes for part in parts)
    if isinstance(kind, EnumType | Flags):
        nodes += len(kind.names)
    depth = 1 + max((part.depth for part in parts), default=0)
    if nodes > MAX_NODES or depth > MAX_DEPTH:
        raise ProgramTooLarge(
            f"a type made of {nodes} types, {depth} deep",
            cause=f"at most {MAX_NODES} and {MAX_DEPTH} are allowed",
        )
    resources = any(part.resources for part in parts)
    borrows = any(part.borrows for part in parts)
    pointers = any(part.pointers for part in parts) or (isinstance(kind, List) and kind.length is None)
    return ValueItem(kind, tuple(parts), nodes, depth, size, align, named, resources, borrows, pointers)


def define_function(definition: FuncDef, types: Lookup) -> FunctionItem:
    """A function type from its definition. Raises InvalidProgram or ProgramTooLarge."""
    params = [value_of(ref, types) for _, ref in definition.params]
    result = None if definition.result is None else value_of(definition.result, types)
    if result is not None and result.borrows:
        raise InvalidProgram("a function's result has a borrowed handle in it")
    parts = params if result is None else [*params, result]
    nodes = 1 + sum(part.nodes for part in parts)
    if nodes > MAX_NODES:
        raise ProgramTooLarge(
            f"a function type made of {nodes} types", cause=f"at most {MAX_NODES} are allowed"
        )
    names = [name for name, _ in definition.params]
    kind = FunctionType(
        tuple(Field(name, part.type) for name, part in zip(names, params, strict=True)), _type(result)
    )
    return FunctionItem(kind, tuple(parts), nodes, any(part.resources for part in parts))
