"""Calls between two component instances of one guest, each with a memory of its own."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from support.abi import FakeGuest, FakeMemory
from wasmind.component.abi.adapter import adapt
from wasmind.component.abi.handles import Handle, Resource
from wasmind.component.plan import Adapter, Options
from wasmind.component.types import (
    Borrow,
    Field,
    FunctionType,
    List,
    Own,
    Primitive,
    ResourceType,
    Result,
    StringEncoding,
    Tuple,
    ValueType,
)
from wasmind.errors import GuestTrap

P = Primitive
CALLER = Options(0, StringEncoding.UTF8, "memory", "realloc")
CALLEE = Options(1, StringEncoding.UTF16, "other", "realloc")
FILE, ITS_OWN = Resource("file"), Resource("its own", owner=1)


class Pair(FakeGuest):
    """Two instances; the second one's memory is `other`, and its realloc gives places there."""

    def __init__(self) -> None:
        super().__init__(1024, CALLER, CALLEE, instances=2)
        self.other = FakeMemory(bytearray(1024))
        self.memories["other"] = self.other
        self.caller, self.callee = self.host.contexts
        self.last = 16  # a place of its own shrinks where it is


def adapter(*params: ValueType, result: ValueType | None = None, post_return: bool = False) -> Any:
    kind = FunctionType(tuple(Field(f"p{at}", each) for at, each in enumerate(params)), result)
    return adapt(Adapter(kind, CALLER, CALLEE, post_return), 0, 1, (1,), (FILE, ITS_OWN))


def test_strings_change_their_memory_and_their_encoding() -> None:
    made, guest = adapter(P.STRING, result=P.STRING), Pair()
    assert made.enter.params == ("i32", "i32", "i32")
    assert made.enter.results == ("i32", "i32")
    assert made.leave.params == ("i32", "i32")
    guest.memory.data[500:503] = "hé".encode()
    pointer, length = made.enter.call(guest, 500, 3, 900)
    assert guest.other.data[pointer : pointer + 2 * length].decode("utf-16-le") == "hé"
    guest.other.data[600:608] = struct.pack("<II", 700, 1)
    guest.other.data[700:702] = "€".encode("utf-16-le")
    assert made.leave.call(guest, 600, 900) is None
    pointer, length = struct.unpack_from("<II", guest.memory.data, 900)
    assert guest.memory.data[pointer : pointer + length] == "€".encode()


def test_numbers() -> None:
    made, guest = adapter(P.S8, P.F64, result=P.U16), Pair()
    assert made.enter.call(guest, 0xFF, 2.5) == (0xFFFFFFFF, 2.5)
    assert made.leave.call(guest, 0x1FFFF) == 0xFFFF


def test_nothing_at_all() -> None:
    made, guest = adapter(), Pair()
    assert made.enter.call(guest) is None
    assert made.leave.call(guest) is None


def test_handles_move_and_lend() -> None:
    made, guest = adapter(Own(ResourceType(0)), Borrow(ResourceType(0))), Pair()
    given, lent = (guest.caller.handles.add(Handle(FILE, name)) for name in ("given", "lent"))
    there, borrowed = made.enter.call(guest, given, lent)
    assert guest.callee.handles.get(there, FILE).representation == "given"
    assert guest.callee.handles.get(borrowed, FILE).representation == "lent"
    assert guest.caller.handles.get(lent, FILE).lends == 1
    with pytest.raises(GuestTrap, match="no handle"):
        guest.caller.handles.get(given, FILE)
    with pytest.raises(GuestTrap, match="without dropping 1 borrowed"):
        made.leave.call(guest)


def test_lending_ends_when_the_callee_has_dropped_it() -> None:
    made, guest = adapter(Borrow(ResourceType(0))), Pair()
    lent = guest.caller.handles.add(Handle(FILE, "lent"))
    borrowed = made.enter.call(guest, lent)
    scope = guest.callee.handles.take(borrowed, FILE).scope
    assert scope is not None
    scope.borrows -= 1
    made.leave.call(guest)
    assert guest.caller.handles.get(lent, FILE).lends == 0


def test_the_callee_is_lent_its_own_resource_by_its_representation() -> None:
    made, guest = adapter(Borrow(ResourceType(1))), Pair()
    index = guest.caller.handles.add(Handle(ITS_OWN, 77))
    assert made.enter.call(guest, index) == 77
    made.leave.call(guest)


def test_a_component_is_not_entered_twice() -> None:
    made, guest = adapter(), Pair()
    made.enter.call(guest)
    with pytest.raises(GuestTrap, match="under way"):
        made.enter.call(guest)
    made.leave.call(guest)
    made.enter.call(guest)


def test_after_a_post_return_function() -> None:
    made, guest = adapter(result=P.U8, post_return=True), Pair()
    made.enter.call(guest)
    assert made.leave.call(guest, 5) == 5
    assert not guest.callee.instance.may_leave
    assert not guest.callee.instance.may_enter
    made.exit.call(guest)
    assert guest.callee.instance.may_leave
    assert guest.callee.instance.may_enter


def test_not_from_realloc() -> None:
    made, guest = adapter(), Pair()
    guest.caller.instance.may_leave = False
    with pytest.raises(GuestTrap, match="called an import"):
        made.enter.call(guest)


def test_what_the_caller_gives_is_checked_in_its_memory() -> None:
    made, guest = adapter(List(P.U32)), Pair()
    for pointer, length in ((1020, 2), (2, 1), (0, 1 << 29)):
        with pytest.raises(GuestTrap):
            made.enter.call(guest, pointer, length)
        guest.callee.instance.may_enter = True


def test_what_the_callee_gives_is_checked_in_its_memory() -> None:
    made, guest = adapter(result=Result(Tuple((P.U32, P.U32)), P.STRING)), Pair()
    for pointer in (1023, 1024, 2):
        made.enter.call(guest, 512)
        with pytest.raises(GuestTrap):
            made.leave.call(guest, pointer, 512)
        guest.callee.instance.may_enter = True


def test_lists_of_everything_arrive() -> None:
    made, guest = adapter(List(Tuple((P.STRING, P.U8)))), Pair()
    guest.memory.data[500:524] = struct.pack("<IIB3xIIB3x", 600, 1, 1, 601, 2, 2)
    guest.memory.data[600:603] = b"abc"
    pointer, length = made.enter.call(guest, 500, 2)
    assert length == 2
    text, units, number = struct.unpack_from("<IIB", guest.other.data, pointer + 12)
    assert guest.other.data[text : text + 2 * units].decode("utf-16-le") == "bc"
    assert number == 2
