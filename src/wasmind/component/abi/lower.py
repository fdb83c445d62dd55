"""Lowering: closures that write component values, into memory or as core values.

CanonicalABI.md, "Storing" and "Flat Lowering". A type is compiled once, when a component is loaded. A `Store`
writes a value at a pointer whose alignment and range were checked by whoever calls it; a `Lower` appends its
core values to a list. Both may call the guest's realloc, after which the memory may have grown.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from wasmind.component.abi.context import Context
from wasmind.component.abi.handles import Handle, Resource
from wasmind.component.abi.layout import (
    MAX_BYTES,
    CoreType,
    cases,
    flatten,
    layout,
    parts,
    payloads,
    placement,
)
from wasmind.component.abi.lift import NUMBERS
from wasmind.component.abi.values import Err, Ok, Value
from wasmind.component.abi.variants import Cased, chooser
from wasmind.component.types import Borrow, Flags, List, Own, Primitive, Record, Result, Tuple, ValueType
from wasmind.errors import GuestTrap

Store: TypeAlias = Callable[[Context, Value, int], None]
Lower: TypeAlias = Callable[[Context, Value, list[Any]], None]
Allocate: TypeAlias = Callable[[Context, Value], tuple[int, int]]
"""Copies a list or string into fresh guest memory; gives its pointer and length, as the guest wants them."""
Write: TypeAlias = Callable[[Context, Value, int], None]
"""Writes a list's elements at a place that has room for them."""


class Lowerer:
    """Compiles types for one way to store strings and one component's resources.

    `instance` is the component instance that values are lowered into: resources it implements itself are lent
    to it by their representation.
    """

    def __init__(self, store_string: Allocate, resources: Sequence[Resource], instance: int) -> None:
        self._store_string = store_string
        self._resources = resources
        self._instance = instance

    # --- into memory --------------------------------------------------------------------------------------

    def store(self, kind: ValueType) -> Store:
        """Compile the writing of a value into memory."""
        match kind:
            case Primitive():
                return self._store_primitive(kind)
            case List(element, length):
                if length is None:
                    return _store_by_reference(self.list(element))
                write = self._elements(element)
                return lambda cx, value, at: write(cx, _exactly(value, length), at)
            case Record() | Tuple():
                return self._store_parts(parts(kind))
            case Flags(names):
                bits, size = _bits(names), layout(kind).size

                def store_flags(cx: Context, value: Value, at: int) -> None:
                    cx.buffer[at : at + size] = bits(value).to_bytes(size, "little")

                return store_flags
            case Own() | Borrow():
                handle = self._handle(kind)
                return lambda cx, value, at: _put_u32(cx.buffer, at, handle(cx, value))
            case _:
                return self._store_case(kind)

    def _store_primitive(self, kind: Primitive) -> Store:
        match kind:
            case Primitive.BOOL:
                put = struct.Struct("?").pack_into
            case Primitive.CHAR:
                return lambda cx, value, at: _put_u32(cx.buffer, at, ord(value))
            case Primitive.STRING:
                return _store_by_reference(self._store_string)
            case _:
                put = struct.Struct("<" + NUMBERS[kind]).pack_into
        return lambda cx, value, at: put(cx.buffer, at, value)

    def _store_parts(self, types: Sequence[ValueType]) -> Store:
        stores = tuple(zip(map(self.store, types), placement(types).offsets, strict=True))

        def store(cx: Context, value: Value, at: int) -> None:
            for (put, offset), part in zip(stores, value, strict=True):
                put(cx, part, at + offset)

        return store

    def _store_case(self, kind: Cased) -> Store:
        types = payloads(kind)
        placed = cases(types)
        stores = [None if payload is None else self.store(payload) for payload in types]
        if isinstance(kind, Result):
            ok, error = stores
            return _store_result(ok, error, placed.payload)
        choose = chooser(kind)
        put = struct.Struct({1: "<B", 2: "<H", 4: "<I"}[placed.discriminant]).pack_into
        offset = placed.payload

        def store(cx: Context, value: Value, at: int) -> None:
            case, payload = choose(value)
            put(cx.buffer, at, case)
            if (inner := stores[case]) is not None:
                inner(cx, payload, at + offset)

        return store

    # --- lists --------------------------------------------------------------------------------------------

    def list(self, element: ValueType) -> Allocate:
        """Compile the copying of a list: bytes in one copy, numbers in one call, others one by one."""
        if element is Primitive.U8:
            return _allocate_bytes
        placed = layout(element)
        size, align = placed.size, placed.align
        write = self._elements(element)

        def allocate(cx: Context, value: Value) -> tuple[int, int]:
            length = len(value)
            if length * size > MAX_BYTES:
                raise GuestTrap(f"a list of {length * size} bytes for the function", cause=_LONGEST)
            pointer = cx.allocate(align, length * size)
            write(cx, value, pointer)
            return pointer, length

        return allocate

    def _elements(self, element: ValueType) -> Write:
        if letter := NUMBERS.get(element):
            return lambda cx, value, at: struct.pack_into(f"<{len(value)}{letter}", cx.buffer, at, *value)
        size, store = layout(element).size, self.store(element)

        def write(cx: Context, value: Value, at: int) -> None:
            for each in value:
                store(cx, each, at)
                at += size

        return write

    # --- as core values -----------------------------------------------------------------------------------

    def lower(self, kind: ValueType) -> Lower:
        """Compile the writing of a value as core values."""
        match kind:
            case Primitive():
                return self._lower_primitive(kind)
            case List(element, length):
                if length is None:
                    return _lower_by_reference(self.list(element))
                each = self.lower(element)

                def lower_all(cx: Context, value: Value, out: list[Any]) -> None:
                    for item in _exactly(value, length):
                        each(cx, item, out)

                return lower_all
            case Record() | Tuple():
                lowers = tuple(map(self.lower, parts(kind)))

                def lower_parts(cx: Context, value: Value, out: list[Any]) -> None:
                    for lower, part in zip(lowers, value, strict=True):
                        lower(cx, part, out)

                return lower_parts
            case Flags(names):
                bits = _bits(names)
                return lambda cx, value, out: out.append(bits(value))
            case Own() | Borrow():
                handle = self._handle(kind)
                return lambda cx, value, out: out.append(handle(cx, value))
            case _:
                return self._lower_case(kind)

    def _lower_primitive(self, kind: Primitive) -> Lower:
        match kind:
            case Primitive.STRING:
                return _lower_by_reference(self._store_string)
            case Primitive.CHAR:
                return lambda cx, value, out: out.append(ord(value))
            case Primitive.S8 | Primitive.S16 | Primitive.S32:
                return lambda cx, value, out: out.append(value & 0xFFFFFFFF)
            case Primitive.S64:
                return lambda cx, value, out: out.append(value & 0xFFFFFFFFFFFFFFFF)
            case Primitive.F32 | Primitive.F64:
                return lambda cx, value, out: out.append(value)
            case _:
                return lambda cx, value, out: out.append(int(value))

    def _lower_case(self, kind: Cased) -> Lower:
        types = payloads(kind)
        joined = flatten((kind,), _ANY)[1:]
        choose = chooser(kind)
        lowers = [None if each is None else self._lower_payload(each, joined) for each in types]
        zeros = [0.0 if core in ("f32", "f64") else 0 for core in joined]

        def lower(cx: Context, value: Value, out: list[Any]) -> None:
            case, payload = choose(value)
            out.append(case)
            if (inner := lowers[case]) is None:
                out += zeros
            else:
                start = len(out)
                inner(cx, payload, out)
                out += zeros[len(out) - start :]

        return lower

    def _lower_payload(self, kind: ValueType, joined: Sequence[CoreType]) -> Lower:
        lower = self.lower(kind)
        pairs = zip(flatten((kind,), _ANY), joined, strict=False)
        widen = [(place, _WIDEN[pair]) for place, pair in enumerate(pairs) if pair in _WIDEN]
        if not widen:
            return lower

        def lower_widened(cx: Context, value: Value, out: list[Any]) -> None:
            start = len(out)
            lower(cx, value, out)
            for place, to in widen:
                out[start + place] = to(out[start + place])

        return lower_widened

    def single(self, kind: ValueType) -> Callable[[Context, Value], Any] | None:
        """Compile the writing of a value that is one core value; None if the value is just that."""
        match kind:
            case Primitive.U8 | Primitive.U16 | Primitive.U32 | Primitive.U64 | Primitive.F32 | Primitive.F64:
                return None
            case Own() | Borrow():
                return self._handle(kind)
        lower = self.lower(kind)

        def single(cx: Context, value: Value) -> Any:
            out: list[Any] = []
            lower(cx, value, out)
            return out[0]

        return single

    # --- handles ------------------------------------------------------------------------------------------

    def _handle(self, kind: Own | Borrow) -> Callable[[Context, Value], int]:
        resource = self._resources[kind.resource.number]
        if isinstance(kind, Own):
            return lambda cx, value: cx.handles.add(Handle(resource, value))
        if resource.owner == self._instance:
            return lambda cx, value: value

        def lend(cx: Context, value: Value) -> int:
            cx.scope.borrows += 1
            return cx.handles.add(Handle(resource, value, cx.scope))

        return lend


def _store_result(ok: Store | None, error: Store | None, offset: int) -> Store:
    def store(cx: Context, value: Value, at: int) -> None:
        if type(value) is Err:
            cx.buffer[at] = 1
            if error is not None:
                error(cx, value.value, at + offset)
            return
        cx.buffer[at] = 0
        if ok is not None:
            ok(cx, value.value if type(value) is Ok else value, at + offset)

    return store


def _exactly(value: Value, length: int) -> Value:
    if len(value) != length:
        raise ValueError(f"a list of {length} was expected, not of {len(value)}")
    return value


def _allocate_bytes(cx: Context, value: Value) -> tuple[int, int]:
    if type(value) is not bytes:
        value = memoryview(value)
        if value.format != "B" or value.ndim != 1:
            value = value.cast("B") if value.nbytes else b""
    size = len(value)
    if size > MAX_BYTES:
        raise GuestTrap(f"a list of {size} bytes for the function", cause=_LONGEST)
    pointer = cx.allocate(1, size)
    cx.buffer[pointer : pointer + size] = value
    return pointer, size


def _store_by_reference(allocate: Allocate) -> Store:
    def store(cx: Context, value: Value, at: int) -> None:
        pointer, length = allocate(cx, value)
        _put_pair(cx.buffer, at, pointer, length)  # looked up afterwards: the memory may have moved

    return store


def _lower_by_reference(allocate: Allocate) -> Lower:
    return lambda cx, value, out: out.extend(allocate(cx, value))


def _bits(names: Sequence[str]) -> Callable[[frozenset[str]], int]:
    bit = {name: 1 << place for place, name in enumerate(names)}
    return lambda value: sum([bit[name] for name in value])


def _f32_bits(value: float) -> int:
    return int(_u32.unpack(_f32.pack(value))[0])


def _f64_bits(value: float) -> int:
    return int(_u64.unpack(_f64.pack(value))[0])


_u32, _u64, _f32, _f64 = struct.Struct("<I"), struct.Struct("<Q"), struct.Struct("<f"), struct.Struct("<d")
_put_u32 = _u32.pack_into
_put_pair = struct.Struct("<II").pack_into
_ANY = 1 << 20
_LONGEST = f"the longest has {MAX_BYTES}"
_WIDEN: dict[tuple[CoreType, CoreType], Callable[[Any], int]] = {
    ("f32", "i32"): _f32_bits,
    ("f32", "i64"): _f32_bits,
    ("f64", "i64"): _f64_bits,
}
"""How a case's core value becomes the wider one that all cases share; an i32 is an i64 already."""
