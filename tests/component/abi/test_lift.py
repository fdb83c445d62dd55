"""Values read from memory and from core values."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.abi import FakeGuest, guest_with, same, type_of, value_of, vectors
from wasmind.component.abi.context import BUDGET, ELEMENT_COST
from wasmind.component.abi.handles import Handle, Resource, Scope
from wasmind.component.abi.lift import Lifter
from wasmind.component.abi.strings import string_loader
from wasmind.component.abi.values import Err, Ok, Some
from wasmind.component.types import (
    Borrow,
    Case,
    EnumType,
    Field,
    Flags,
    List,
    Option,
    Own,
    Primitive,
    Record,
    ResourceType,
    Result,
    StringEncoding,
    Tuple,
    Variant,
)
from wasmind.errors import GuestTrap, LimitExceeded

P = Primitive
FILE, OTHER = Resource("file"), Resource("other")
OWN, BORROW = Own(ResourceType(0)), Borrow(ResourceType(0))


def lifter(encoding: StringEncoding = StringEncoding.UTF8, *, lends: bool = False) -> Lifter:
    return Lifter(string_loader(encoding), (FILE, OTHER), lends=lends)


def load(kind: Any, data: bytes, at: int = 0) -> Any:
    guest = guest_with(data)
    guest.cx.reach(1)
    return lifter().load(kind)(guest.cx, guest.cx.buffer, at)


def lift(kind: Any, *flat: Any, memory: bytes = b"") -> Any:
    return lifter().lift(kind, 0)(guest_with(memory).cx, flat)


@pytest.mark.parametrize("number", range(len(vectors("load"))))
def test_from_memory_as_the_reference(number: int) -> None:
    kind, encoding, memory, at, value, traps = vectors("load")[number]
    encoding = StringEncoding(encoding)
    guest = guest_with(bytes.fromhex(memory), encoding)
    guest.cx.reach(1)
    read = lifter(encoding).load(type_of(kind))
    if traps:
        with pytest.raises(GuestTrap):
            read(guest.cx, guest.cx.buffer, at)
    else:
        assert same(read(guest.cx, guest.cx.buffer, at), value_of(value))


@pytest.mark.parametrize("number", range(len(vectors("lift"))))
def test_from_core_values_as_the_reference(number: int) -> None:
    kind, encoding, memory, flat, value, traps = vectors("lift")[number]
    encoding = StringEncoding(encoding)
    guest = guest_with(bytes.fromhex(memory), encoding)
    made = lifter(encoding)
    core = [0, *map(value_of, flat)]
    read = made.lift(type_of(kind), 1)
    expression, target = made.expression(type_of(kind), 1)
    direct = eval(
        f"lambda cx, {', '.join(f'a{n}' for n in range(len(core)))}: {expression.format('f')}", {"f": target}
    )
    if traps:
        with pytest.raises(GuestTrap):
            read(guest.cx, core)
        with pytest.raises(GuestTrap):
            direct(guest.cx, *core)
    else:
        assert same(read(guest.cx, core), value_of(value))
        assert same(direct(guest.cx, *core), value_of(value))


@pytest.mark.parametrize(
    ("kind", "core", "value"),
    [
        (P.BOOL, 0, False),
        (P.BOOL, 2, True),
        (P.U8, 0x1FF, 0xFF),
        (P.S8, 0x80, -128),
        (P.S8, 0xFFFFFF7F, 127),
        (P.U16, 0x1FFFF, 0xFFFF),
        (P.S16, 0x8000, -32768),
        (P.S32, 0xFFFFFFFF, -1),
        (P.U32, 0xFFFFFFFF, 0xFFFFFFFF),
        (P.S64, 1 << 63, -(1 << 63)),
        (P.CHAR, 0x10FFFF, "\U0010ffff"),
        (P.F64, 0.5, 0.5),
    ],
)
def test_numbers_keep_the_bits_of_their_type(kind: Primitive, core: float, value: object) -> None:
    found = lift(kind, core)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("code", [0xD800, 0xDFFF, 0x110000, 0xFFFFFFFF])
def test_what_is_no_character(code: int) -> None:
    with pytest.raises(GuestTrap):
        lift(P.CHAR, code)
    with pytest.raises(GuestTrap):
        load(P.CHAR, struct.pack("<I", code))


def test_records_and_tuples_are_tuples() -> None:
    kind = Record((Field("a", P.U8), Field("b", P.STRING)))
    assert lift(kind, 7, 0, 2, memory=b"hi") == (7, "hi")
    assert load(Tuple((P.U8, P.U32)), bytes((7, 0, 0, 0, 1, 2, 0, 0))) == (7, 0x201)


def test_variants_are_names_or_pairs() -> None:
    kind = Variant((Case("none"), Case("some", P.U8)))
    assert lift(kind, 0, 9) == "none"
    assert lift(kind, 1, 9) == ("some", 9)
    assert lift(EnumType(("a", "b")), 1) == "b"


def test_options_and_results() -> None:
    assert lift(Option(P.U8), 0, 9) is None
    assert lift(Option(P.U8), 1, 9) == 9
    assert lift(Option(Option(P.U8)), 1, 0, 9) == Some(None)
    assert lift(Option(Option(P.U8)), 1, 1, 9) == Some(9)
    assert lift(Result(P.U8, None), 0, 9) == Ok(9)
    assert lift(Result(P.U8, None), 1, 9) == Err(None)


def test_flags_are_a_set_and_bits_beyond_do_not_matter() -> None:
    assert lift(Flags(("a", "b", "c")), 0b11111101) == frozenset("ac")


def test_cases_share_wider_core_values() -> None:
    kind = Variant((Case("i", P.U64), Case("f", P.F32), Case("s", P.S8)))
    bits = struct.unpack("<I", struct.pack("<f", 1.5))[0]
    assert lift(kind, 1, bits | 0xABC << 32) == ("f", 1.5)
    assert lift(kind, 2, 0xFFFFFFFFFF) == ("s", -1)


@pytest.mark.parametrize(
    "kind", [EnumType(("a",)), Option(P.U8), Result(), Variant((Case("a"), Case("b", P.U8)))]
)
def test_discriminants_beyond_the_last_case(kind: Any) -> None:
    for case in (2, 3, 0xFF):
        with pytest.raises(GuestTrap, match="case"):
            lift(kind, case, 0)
        with pytest.raises(GuestTrap, match="case"):
            load(kind, bytes((case, 0)))


def test_bytes_are_one_copy() -> None:
    found = lift(List(P.U8), 2, 3, memory=b"xxabcx")
    assert found == b"abc"
    assert type(found) is bytes
    assert load(List(P.U8, 2), b"ab") == b"ab"
    assert lift(List(P.U8, 2), 97, 98) == b"ab"


def test_lists_of_numbers() -> None:
    memory = struct.pack("<3H", 1, 2, 65535)
    assert lift(List(P.U16), 0, 3, memory=memory) == [1, 2, 65535]
    assert lift(List(P.S16), 4, 1, memory=memory) == [-1]


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_no_pointer_and_length_reach_outside(pointer: int, length: int) -> None:
    memory = bytes(64)
    for kind, size, align in ((P.U8, 1, 1), (P.U64, 8, 8), (P.STRING, 8, 4)):
        inside = pointer % align == 0 and pointer + length * size <= 64
        if inside:
            assert len(lift(List(kind), pointer, length, memory=memory)) == length
        else:
            with pytest.raises(GuestTrap):
                lift(List(kind), pointer, length, memory=memory)
    if pointer + length <= 64:
        assert len(lift(P.STRING, pointer, length, memory=memory)) == length
    else:
        with pytest.raises(GuestTrap):
            lift(P.STRING, pointer, length, memory=memory)


def test_lists_longer_than_the_abi_allows() -> None:
    for kind, length in ((P.U8, 1 << 28), (P.U64, 1 << 25)):
        with pytest.raises(GuestTrap, match="a list of 268435456 bytes"):
            lift(List(kind), 0, length)


def test_lists_that_name_the_same_memory_over_and_over() -> None:
    """2 MB of pairs that all point at the same megabyte would be 256 GB on the host."""
    count, size = 1 << 10, 1 << 20
    pairs = struct.pack("<II", 8 * count, size) * count
    guest = guest_with(pairs + bytes(size))
    with pytest.raises(LimitExceeded, match="too much"):
        lifter().lift(List(List(P.U8)), 0)(guest.cx, (0, count))
    assert guest.cx.budget < 0


def test_many_small_elements_cost_too() -> None:
    count = BUDGET // ELEMENT_COST + 1
    guest = guest_with(bytes(8 * count))
    with pytest.raises(LimitExceeded):
        lifter().lift(List(P.STRING), 0)(guest.cx, (0, count))


def test_own_handles_are_given_away() -> None:
    guest = FakeGuest()
    index = guest.cx.handles.add(Handle(FILE, "a file"))
    read = lifter().lift(OWN, 0)
    assert read(guest.cx, (index,)) == "a file"
    with pytest.raises(GuestTrap, match=f"no handle {index}"):
        read(guest.cx, (index,))


def test_borrowed_handles_stay() -> None:
    guest = FakeGuest()
    index = guest.cx.handles.add(Handle(FILE, "a file"))
    read = lifter().lift(BORROW, 0)
    assert read(guest.cx, (index,)) == read(guest.cx, (index,)) == "a file"


@pytest.mark.parametrize("kind", [OWN, BORROW])
@pytest.mark.parametrize("index", [0, 2, 77, 0xFFFFFFFF])
def test_handles_that_are_none(kind: Any, index: int) -> None:
    guest = FakeGuest()
    guest.cx.handles.add(Handle(FILE, "a file"))
    with pytest.raises(GuestTrap, match="no handle"):
        lifter().lift(kind, 0)(guest.cx, (index,))


@pytest.mark.parametrize("kind", [OWN, BORROW])
def test_handles_of_another_type(kind: Any) -> None:
    guest = FakeGuest()
    index = guest.cx.handles.add(Handle(OTHER, "something else"))
    with pytest.raises(GuestTrap, match="is a other, not a file"):
        lifter().lift(kind, 0)(guest.cx, (index,))


def test_a_borrowed_handle_cannot_be_given_away() -> None:
    guest = FakeGuest()
    index = guest.cx.handles.add(Handle(FILE, "a file", Scope()))
    with pytest.raises(GuestTrap, match="borrowed"):
        lifter().lift(OWN, 0)(guest.cx, (index,))


def test_a_lent_handle_cannot_be_given_away() -> None:
    """`f(borrow x, own x)`: the handle is lent until the call returns."""
    guest = FakeGuest()
    index = guest.cx.handles.add(Handle(FILE, "a file"))
    made = lifter(lends=True)
    assert made.lift(BORROW, 0)(guest.cx, (index,)) == "a file"
    with pytest.raises(GuestTrap, match="lent"):
        made.lift(OWN, 0)(guest.cx, (index,))
    guest.cx.return_lent()
    assert made.lift(OWN, 0)(guest.cx, (index,)) == "a file"
