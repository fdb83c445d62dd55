"""Values written to memory and as core values."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.abi import FakeGuest, same, type_of, value_of, vectors
from wasmind.component.abi.handles import MAX_HANDLES, Handle, Resource, Scope
from wasmind.component.abi.layout import flatten, layout
from wasmind.component.abi.lift import Lifter
from wasmind.component.abi.lower import Lowerer
from wasmind.component.abi.strings import string_loader, string_storer
from wasmind.component.abi.values import Err, Ok, Some
from wasmind.component.plan import Options
from wasmind.component.types import (
    Borrow,
    Case,
    EnumType,
    Flags,
    List,
    Option,
    Own,
    Primitive,
    ResourceType,
    Result,
    StringEncoding,
    Tuple,
    Variant,
)
from wasmind.errors import GuestTrap, LimitExceeded

P = Primitive
FILE, MINE = Resource("file"), Resource("mine", owner=0)


def lowerer(encoding: StringEncoding = StringEncoding.UTF8) -> Lowerer:
    return Lowerer(string_storer(encoding), (FILE, MINE), 0)


def stored(kind: Any, value: Any) -> bytes:
    guest = FakeGuest()
    size = layout(kind).size
    at = guest.cx.allocate(layout(kind).align, size)
    lowerer().store(kind)(guest.cx, value, at)
    return bytes(guest.data[at : at + size])


def lowered(kind: Any, value: Any, guest: FakeGuest | None = None) -> list[Any]:
    out: list[Any] = []
    lowerer().lower(kind)((guest or FakeGuest()).cx, value, out)
    return out


@pytest.mark.parametrize("number", range(len(vectors("lower"))))
def test_as_the_reference(number: int) -> None:
    kind, encoding, value, memory, reallocs, flat = vectors("lower")[number]
    kind, encoding, value = type_of(kind), StringEncoding(encoding), value_of(value)
    guest = FakeGuest(512, Options(0, encoding, "memory", "realloc"))
    at = guest.cx.allocate(layout(kind).align, layout(kind).size)
    lowerer(encoding).store(kind)(guest.cx, value, at)
    assert bytes(guest.data).rstrip(b"\0").hex() == memory
    assert [list(each) for each in guest.reallocs] == reallocs
    if flat is not None:
        out: list[Any] = []
        fresh = FakeGuest(512, Options(0, encoding, "memory", "realloc"))
        lowerer(encoding).lower(kind)(fresh.cx, value, out)
        assert out == list(map(value_of, flat))
        assert len(out) == len(flatten((kind,), 16))
        reread = Lifter(string_loader(encoding), (), lends=False).lift(kind, 0)(fresh.cx, out)
        assert same(reread, value)


@pytest.mark.parametrize(
    ("kind", "value", "data"),
    [
        (P.BOOL, True, b"\1"),
        (P.S16, -2, b"\xfe\xff"),
        (P.U64, 1 << 63, bytes(7) + b"\x80"),
        (P.F32, 1.0, b"\x00\x00\x80\x3f"),
        (P.CHAR, "€", b"\xac\x20\0\0"),
        (Tuple((P.U8, P.U16)), (1, 2), b"\1\0\2\0"),
        (EnumType(("a", "b")), "b", b"\1"),
        (Flags(("a", "b", "c")), frozenset("ac"), b"\5"),
        (Option(P.U8), None, b"\0\0"),
        (Option(P.U8), 7, b"\1\7"),
        (Option(P.U8), Some(7), b"\1\7"),
        (Option(Option(P.U8)), Some(None), b"\1\0\0"),
        (Result(P.U8, P.U16), 7, b"\0\0\7\0"),
        (Result(P.U8, P.U16), Ok(7), b"\0\0\7\0"),
        (Result(P.U8, P.U16), Err(7), b"\1\0\7\0"),
        (Result(), None, b"\0"),
        (Result(), Err(None), b"\1"),
        (Result(Result(P.U8), None), Ok(Err(None)), b"\0\1\0"),
        (Variant((Case("a"), Case("b", P.U8))), "a", b"\0\0"),
        (Variant((Case("a"), Case("b", P.U8))), ("b", 5), b"\1\5"),
        (List(P.U16, 2), [1, 2], b"\1\0\2\0"),
        (List(P.U8, 2), b"ab", b"ab"),
    ],
)
def test_in_memory(kind: Any, value: Any, data: bytes) -> None:
    assert stored(kind, value) == data


@pytest.mark.parametrize(
    ("kind", "value", "flat"),
    [
        (P.S8, -1, [0xFFFFFFFF]),
        (P.S64, -1, [0xFFFFFFFFFFFFFFFF]),
        (P.BOOL, True, [1]),
        (P.CHAR, "A", [65]),
        (Flags(("a", "b")), frozenset("b"), [2]),
        (Option(P.U64), None, [0, 0]),
        (Result(P.F32, P.U64), 1.0, [0, 0x3F800000]),
        (Result(P.F64, P.U64), 1.0, [0, 0x3FF0000000000000]),
        (Result(P.F32, P.U8), Err(9), [1, 9]),
        (Tuple((P.U8, P.S8)), (1, -1), [1, 0xFFFFFFFF]),
        (List(P.U8, 3), b"abc", [97, 98, 99]),
    ],
)
def test_as_core_values(kind: Any, value: Any, flat: list[Any]) -> None:
    assert lowered(kind, value) == flat


@pytest.mark.parametrize(
    "data",
    [
        b"abc",
        bytearray(b"abc"),
        memoryview(b"xabcx")[1:4],
        memoryview(b"abc").cast("b"),
        memoryview(b"abc").cast("c"),
    ],
)
def test_bytes_may_be_any_buffer(data: Any) -> None:
    guest = FakeGuest()
    pointer, length = lowered(List(P.U8), data, guest)
    assert guest.data[pointer : pointer + length] == b"abc"
    assert guest.reallocs == [(0, 0, 1, 3)]


def test_buffers_of_other_elements_are_taken_by_their_bytes() -> None:
    guest = FakeGuest()
    pointer, length = lowered(List(P.U8), memoryview(struct.pack("<2f", 1, 2)).cast("f"), guest)
    assert guest.data[pointer : pointer + length] == struct.pack("<2f", 1, 2)
    assert lowered(List(P.U8), memoryview(b"").cast("b"), guest)[1] == 0


def test_nothing_is_allocated_too_and_may_lie_anywhere() -> None:
    guest = FakeGuest(0)
    assert lowered(List(P.U8), b"", guest) == [0, 0]
    assert lowered(P.STRING, "", guest) == [0, 0]
    assert guest.reallocs == [(0, 0, 1, 0)] * 2


def test_the_guest_may_grow_and_move_its_memory_in_realloc() -> None:
    guest = FakeGuest(16, moves=True)
    guest.during = lambda: guest.memory.grow(64)
    guest.cx.prepare()
    guest.last = 8
    lowerer().store(P.STRING)(guest.cx, "hello", 0)
    pointer, length = struct.unpack_from("<II", guest.data, 0)
    assert guest.data[pointer : pointer + length] == b"hello"


@pytest.mark.parametrize("answer", [4090, 4096, 0xFFFFFFFF])
def test_a_realloc_that_answers_a_place_outside(answer: int) -> None:
    guest = FakeGuest(4096)
    guest.answer = answer
    with pytest.raises(GuestTrap, match="outside"):
        lowered(P.STRING, "eight by", guest)


def test_a_realloc_that_answers_a_misaligned_place() -> None:
    guest = FakeGuest()
    guest.answer = 2
    with pytest.raises(GuestTrap, match="multiple of 4"):
        lowered(List(P.U32), [1], guest)


def test_a_realloc_may_call_nothing() -> None:
    guest = FakeGuest()
    seen: list[bool] = []
    guest.during = lambda: seen.append(guest.cx.instance.may_leave)
    lowered(P.STRING, "x", guest)
    assert seen == [False]
    assert guest.cx.instance.may_leave


def test_without_a_realloc() -> None:
    guest = FakeGuest(64, Options(0, StringEncoding.UTF8, "memory"))
    with pytest.raises(GuestTrap, match="without a realloc"):
        lowered(P.STRING, "x", guest)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), max_size=5))
def test_what_was_lowered_is_lifted_again(texts: list[str]) -> None:
    for encoding in StringEncoding:
        guest = FakeGuest(4096, Options(0, encoding, "memory", "realloc"))
        kind = List(Option(P.STRING))
        out: list[Any] = []
        lowerer(encoding).lower(kind)(guest.cx, texts, out)
        assert Lifter(string_loader(encoding), (), lends=False).lift(kind, 0)(guest.cx, out) == texts


def test_own_handles() -> None:
    guest = FakeGuest()
    (index,) = lowered(Own(ResourceType(0)), "a file", guest)
    handle = guest.cx.handles.get(index, FILE)
    assert (handle.representation, handle.scope, handle.lends) == ("a file", None, 0)


def test_borrowed_handles_are_counted_in_their_call() -> None:
    guest = FakeGuest()
    guest.cx.scope = scope = Scope()
    (index,) = lowered(Borrow(ResourceType(0)), "a file", guest)
    assert guest.cx.handles.get(index, FILE).scope is scope
    assert scope.borrows == 1


def test_an_instance_is_lent_its_own_resource_by_its_representation() -> None:
    guest = FakeGuest()
    assert lowered(Borrow(ResourceType(1)), 1234, guest) == [1234]
    assert guest.cx.scope.borrows == 0


def test_a_flood_of_handles() -> None:
    guest = FakeGuest()
    lower = lowerer().single(Own(ResourceType(0)))
    assert lower is not None
    guest.cx.entries.extend([Handle(FILE, None)] * (MAX_HANDLES - 1))
    assert lower(guest.cx, "the last") == MAX_HANDLES
    with pytest.raises(LimitExceeded, match="handles"):
        lower(guest.cx, "one more")


def test_single_core_values() -> None:
    for kind in (P.U8, P.U32, P.U64, P.F64):
        assert lowerer().single(kind) is None
    for kind, value, core in ((P.S8, -1, 0xFFFFFFFF), (P.BOOL, True, 1), (EnumType(("a", "b")), "b", 1)):
        lower = lowerer().single(kind)  # type: ignore[arg-type]
        assert lower is not None
        assert lower(FakeGuest().cx, value) == core


@pytest.mark.parametrize(
    ("kind", "value", "error"),
    [
        (P.U8, 256, struct.error),
        (EnumType(("a",)), "b", KeyError),
        (Variant((Case("a"),)), "b", KeyError),
        (List(P.U8, 2), b"abc", ValueError),
        (Tuple((P.U8, P.U8)), (1,), ValueError),
    ],
)
def test_a_host_that_answers_something_else(kind: Any, value: Any, error: type[Exception]) -> None:
    """Our own mistakes end the guest with an explanation; they are never written."""
    with pytest.raises(error):
        stored(kind, value)
