"""Lifting: closures that read component values, from memory or from core values.

CanonicalABI.md, "Loading" and "Flat Lifting". A type is compiled once, when a component is loaded. A `Load`
reads a value at a pointer whose alignment and range were checked by whoever calls it; a `Lift` reads it from
a call's core arguments, at a place fixed when compiled.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from wasmind.component.abi.context import ELEMENT_COST, NUMBER_COST, Context
from wasmind.component.abi.handles import Resource
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
from wasmind.component.abi.values import Value
from wasmind.component.abi.variants import Cased, constants, makers
from wasmind.component.types import (
    Borrow,
    Flags,
    List,
    Own,
    Primitive,
    Record,
    Tuple,
    ValueType,
)
from wasmind.errors import GuestTrap

Flat: TypeAlias = Sequence[Any]
"""Core values; i32 and i64 as unsigned Python integers, f32 and f64 as floats."""
Load: TypeAlias = Callable[[Context, memoryview, int], Value]
Lift: TypeAlias = Callable[[Context, Flat], Value]
Elements: TypeAlias = Callable[[Context, memoryview, int, int], Value]
"""Reads the elements that lie between two places."""
LiftList: TypeAlias = Callable[[Context, int, int], Value]
"""Reads a list or string at a pointer with a length, as the guest gives both."""

NUMBERS: dict[ValueType, str] = {
    Primitive.S8: "b",
    Primitive.U8: "B",
    Primitive.S16: "h",
    Primitive.U16: "H",
    Primitive.S32: "i",
    Primitive.U32: "I",
    Primitive.S64: "q",
    Primitive.U64: "Q",
    Primitive.F32: "f",
    Primitive.F64: "d",
}
"""The types that `struct` reads and writes as they are, by its letters."""


class Lifter:
    """Compiles types for one way to read strings and one component's resources.

    `lends` says whether borrowed handles are counted as lent during the call. It matters only where the guest
    could notice: another component is called, or the same call also gives handles away.
    """

    def __init__(self, load_string: LiftList, resources: Sequence[Resource], *, lends: bool) -> None:
        self._load_string = load_string
        self._resources = resources
        self._lends = lends

    # --- from memory --------------------------------------------------------------------------------------

    def load(self, kind: ValueType) -> Load:
        """Compile the reading of a value in memory."""
        match kind:
            case Primitive.BOOL:
                return lambda cx, buffer, at: buffer[at] != 0
            case Primitive.CHAR:
                return lambda cx, buffer, at: _char(_u32(buffer, at)[0])
            case Primitive.STRING:
                return self._load_by_reference(self._load_string)
            case Primitive():
                number = struct.Struct("<" + NUMBERS[kind]).unpack_from
                return lambda cx, buffer, at: number(buffer, at)[0]
            case List(element, length):
                if length is None:
                    return self._load_by_reference(self.list(element))
                read, size = self._elements(element), length * layout(element).size
                return lambda cx, buffer, at: read(cx, buffer, at, at + size)
            case Record() | Tuple():
                return self._load_parts(parts(kind))
            case Flags(names):
                return _load_flags(names)
            case Own() | Borrow():
                handle = self._handle(kind)
                return lambda cx, buffer, at: handle(cx, _u32(buffer, at)[0])
            case _:
                return self._load_case(kind)

    def _load_by_reference(self, target: LiftList) -> Load:
        return lambda cx, buffer, at: target(cx, *_pair(buffer, at))

    def _load_parts(self, types: Sequence[ValueType]) -> Load:
        offsets = placement(types).offsets
        if all(kind in NUMBERS for kind in types):
            return _load_numbers(types, offsets)
        loads = tuple(zip(map(self.load, types), offsets, strict=True))
        if len(loads) == 2:
            (first, here), (second, there) = loads
            return lambda cx, buffer, at: (first(cx, buffer, at + here), second(cx, buffer, at + there))
        return lambda cx, buffer, at: tuple([load(cx, buffer, at + offset) for load, offset in loads])

    def _load_case(self, kind: Cased) -> Load:
        types = payloads(kind)
        placed = cases(types)
        plain, made = constants(kind), makers(kind)
        loads = [None if payload is None else self.load(payload) for payload in types]
        read = struct.Struct({1: "<B", 2: "<H", 4: "<I"}[placed.discriminant]).unpack_from
        count, offset = len(types), placed.payload

        def load(cx: Context, buffer: memoryview, at: int) -> Value:
            case = read(buffer, at)[0]
            if case >= count:
                raise GuestTrap(f"a variant has case {case} of {count}")
            payload = loads[case]
            return plain[case] if payload is None else made[case](payload(cx, buffer, at + offset))

        return load

    # --- lists --------------------------------------------------------------------------------------------

    def list(self, element: ValueType) -> LiftList:
        """Compile the reading of a list's elements: bytes in one copy, numbers in one call."""
        placed = layout(element)
        size, align = placed.size, placed.align
        if element is Primitive.U8:
            return _bytes
        read = self._elements(element)

        cost = NUMBER_COST if element in NUMBERS else ELEMENT_COST

        def lift(cx: Context, pointer: int, length: int) -> Value:
            if length * size > MAX_BYTES:
                raise GuestTrap(f"a list of {length * size} bytes", cause=f"the longest has {MAX_BYTES}")
            cx.check(pointer, length * size, align)
            cx.spend(length * cost)
            return read(cx, cx.buffer, pointer, pointer + length * size)

        return lift

    def _elements(self, element: ValueType) -> Elements:
        size = layout(element).size
        if element is Primitive.U8:
            return lambda cx, buffer, at, end: bytes(buffer[at:end])
        if letter := NUMBERS.get(element):
            return lambda cx, buffer, at, end: list(
                struct.unpack_from(f"<{(end - at) // size}{letter}", buffer, at)
            )
        load = self.load(element)
        return lambda cx, buffer, at, end: [load(cx, buffer, place) for place in range(at, end, size)]

    # --- from core values ---------------------------------------------------------------------------------

    def lift(self, kind: ValueType, at: int) -> Lift:
        """Compile the reading of a value from the core values that begin at place `at`."""
        match kind:
            case Primitive():
                return self._lift_primitive(kind, at)
            case List(element, length):
                if length is None:
                    return _lift_by_reference(self.list(element), at)
                lifts = self.lifts([element] * length, at)
                collect = bytes if element is Primitive.U8 else list
                return lambda cx, flat: collect([lift(cx, flat) for lift in lifts])
            case Record() | Tuple():
                fields = self.lifts(parts(kind), at)
                return lambda cx, flat: tuple([lift(cx, flat) for lift in fields])
            case Flags(names):
                sets = _sets(names)
                return lambda cx, flat: sets(flat[at])
            case Own() | Borrow():
                handle = self._handle(kind)
                return lambda cx, flat: handle(cx, flat[at])
            case _:
                return self._lift_case(kind, at)

    def lifts(self, types: Sequence[ValueType], at: int) -> tuple[Lift, ...]:
        """Compile the reading of values whose core values follow each other."""
        made = []
        for kind in types:
            made.append(self.lift(kind, at))
            at += len(flatten((kind,), _ANY))
        return tuple(made)

    def _lift_primitive(self, kind: Primitive, at: int) -> Lift:
        match kind:
            case Primitive.BOOL:
                return lambda cx, flat: flat[at] != 0
            case Primitive.CHAR:
                return lambda cx, flat: _char(flat[at])
            case Primitive.STRING:
                return _lift_by_reference(self._load_string, at)
            case Primitive.U8 | Primitive.U16:
                mask = 0xFF if kind is Primitive.U8 else 0xFFFF
                return lambda cx, flat: flat[at] & mask
            case Primitive.S8 | Primitive.S16 | Primitive.S32 | Primitive.S64:
                sign = 1 << (8 * layout(kind).size - 1)
                rest = sign - 1
                return lambda cx, flat: (flat[at] & rest) - (flat[at] & sign)
            case _:
                return lambda cx, flat: flat[at]

    def _lift_case(self, kind: Cased, at: int) -> Lift:
        types = payloads(kind)
        joined = flatten((kind,), _ANY)[1:]
        plain, made = constants(kind), makers(kind)
        lifts = [
            None if payload is None else self._lift_payload(payload, joined, at + 1) for payload in types
        ]
        count = len(types)

        def lift(cx: Context, flat: Flat) -> Value:
            case = flat[at]
            if case >= count:
                raise GuestTrap(f"a variant has case {case} of {count}")
            payload = lifts[case]
            return plain[case] if payload is None else made[case](payload(cx, flat))

        return lift

    def _lift_payload(self, kind: ValueType, joined: Sequence[CoreType], at: int) -> Lift:
        wanted = flatten((kind,), _ANY)
        if all(have == want for have, want in zip(joined, wanted, strict=False)):
            return self.lift(kind, at)
        narrow = [_NARROW.get((have, want), _same) for have, want in zip(joined, wanted, strict=False)]
        lift = self.lift(kind, 0)
        return lambda cx, flat: lift(cx, [to(flat[at + place]) for place, to in enumerate(narrow)])

    def expression(self, kind: ValueType, at: int) -> tuple[str, object]:
        """The reading of a value as a Python expression, and the object it names `{}`, if any.

        Core values are `a0`, `a1` and so on, the context is `cx`.
        """
        pair = f"{{}}(cx, a{at}, a{at + 1})"
        match kind:
            case Primitive.U32 | Primitive.U64 | Primitive.F32 | Primitive.F64:
                return f"a{at}", None
            case Primitive.STRING:
                return pair, self._load_string
            case List(element, None):
                return pair, self.list(element)
            case Own() | Borrow():
                return f"{{}}(cx, a{at})", self._handle(kind)
        names = ", ".join(f"a{place}" for place in range(at, at + len(flatten((kind,), _ANY))))
        return f"{{}}(cx, ({names},))", self.lift(kind, 0)

    # --- handles ------------------------------------------------------------------------------------------

    def _handle(self, kind: Own | Borrow) -> Callable[[Context, int], Value]:
        resource = self._resources[kind.resource.number]
        if isinstance(kind, Own):
            return lambda cx, index: cx.handles.take_own(index, resource)
        if not self._lends:
            return _borrower(resource)

        def borrow(cx: Context, index: int) -> Value:
            handle = cx.handles.get(index, resource)
            cx.lend(handle)
            return handle.representation

        return borrow


def _same(core: Any) -> Any:
    return core


def _char(code: int) -> str:
    if code >= 0x110000 or 0xD800 <= code <= 0xDFFF:
        raise GuestTrap(f"{code:#x} is not a character")
    return chr(code)


def _bytes(cx: Context, pointer: int, length: int) -> bytes:
    if length > MAX_BYTES:
        raise GuestTrap(f"a list of {length} bytes", cause=f"the longest has {MAX_BYTES}")
    end = pointer + length
    if end > len(cx.buffer):
        cx.reach(end)
    cx.budget -= length
    if cx.budget < 0:
        cx.spend(0)
    return bytes(cx.buffer[pointer:end])


def _load_numbers(types: Sequence[ValueType], offsets: Sequence[int]) -> Load:
    """Read a record of numbers in one call."""
    layouts, end = [], 0
    for kind, offset in zip(types, offsets, strict=True):
        layouts.append(f"{offset - end}x{NUMBERS[kind]}")
        end = offset + layout(kind).size
    read = struct.Struct("<" + "".join(layouts)).unpack_from
    return lambda cx, buffer, at: read(buffer, at)


def _load_flags(names: Sequence[str]) -> Load:
    size = layout(Flags(tuple(names))).size
    sets = _sets(names)
    return lambda cx, buffer, at: sets(int.from_bytes(buffer[at : at + size], "little"))


def _sets(names: Sequence[str]) -> Callable[[int], frozenset[str]]:
    bits = [(1 << place, name) for place, name in enumerate(names)]
    return lambda value: frozenset([name for bit, name in bits if value & bit])


def _lift_by_reference(target: LiftList, at: int) -> Lift:
    return lambda cx, flat: target(cx, flat[at], flat[at + 1])


def _borrower(resource: Resource) -> Callable[[Context, int], Value]:
    def borrow(cx: Context, index: int) -> Value:
        try:
            handle = cx.entries[index]
            if handle.resource is resource:  # type: ignore[union-attr]  # None is caught below
                return handle.representation  # type: ignore[union-attr]
        except (IndexError, AttributeError):
            pass
        return cx.handles.get(index, resource).representation  # says what is wrong

    return borrow


def _f32_of_bits(bits: int) -> float:
    return float(struct.unpack("<f", struct.pack("<I", bits & 0xFFFFFFFF))[0])


def _f64_of_bits(bits: int) -> float:
    return float(struct.unpack("<d", struct.pack("<Q", bits))[0])


_u32 = struct.Struct("<I").unpack_from
_pair = struct.Struct("<II").unpack_from
_ANY = 1 << 20
_NARROW: dict[tuple[CoreType, CoreType], Callable[[Any], Any]] = {
    ("i32", "f32"): _f32_of_bits,
    ("i64", "i32"): lambda bits: bits & 0xFFFFFFFF,
    ("i64", "f32"): _f32_of_bits,
    ("i64", "f64"): _f64_of_bits,
}
"""How a case's core value is got from the wider one that all cases share."""
