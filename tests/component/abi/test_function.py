"""Whole functions: imports over core values, exports as coroutines."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest

from support.abi import FakeGuest
from wasmind.component.abi.function import contains, lift_export, lower_import
from wasmind.component.abi.handles import Handle, Resource, Scope
from wasmind.component.abi.values import Err
from wasmind.component.plan import Lift, Options
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
    ResourceType,
    Result,
    Tuple,
    ValueType,
    Variant,
)
from wasmind.errors import GuestTrap

P = Primitive
FILE = Resource("file")
OWN, BORROW = Own(ResourceType(0)), Borrow(ResourceType(0))
OPTIONS = Options(0, memory="memory", realloc="realloc")


def function(*params: ValueType, result: ValueType | None = None) -> FunctionType:
    return FunctionType(tuple(Field(f"p{at}", kind) for at, kind in enumerate(params)), result)


class Called:
    """A host function that notes its arguments and gives an answer."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.values: list[Any] = []

    def __call__(self, _guest: FakeGuest, *values: Any) -> Any:
        self.values.append(values)
        return self.answer


def imported(kind: FunctionType, host: Any, *, suspends: bool = False) -> Any:
    return lower_import(kind, OPTIONS, 0, (FILE,), host, suspends=suspends)


def test_numbers_go_through() -> None:
    host = Called(7)
    made = imported(function(P.U32, P.U64, P.F64, result=P.U32), host)
    assert (made.params, made.results) == (("i32", "i64", "f64"), ("i32",))
    assert made.call(FakeGuest(), 1, 2, 3.5) == 7
    assert host.values == [(1, 2, 3.5)]


def test_nothing_goes_through() -> None:
    made = imported(function(), Called("ignored"))
    assert made.call(FakeGuest()) is None


def test_a_method_with_a_string_bytes_and_a_result_in_memory() -> None:
    host = Called(Err("b"))
    kind = function(BORROW, P.STRING, List(P.U8), result=Result(P.U64, EnumType(("a", "b"))))
    made = imported(kind, host)
    assert made.params == ("i32",) * 6
    guest = FakeGuest()
    guest.data[100:105] = b"hello"
    index = guest.cx.handles.add(Handle(FILE, "a file"))
    assert made.call(guest, index, 100, 2, 102, 3, 512) is None
    assert host.values == [("a file", "he", b"llo")]
    assert guest.data[512] == 1
    assert guest.data[520] == 1


def test_seventeen_parameters_in_memory() -> None:
    host = Called()
    made = imported(function(*[P.U16] * 17), host)
    guest = FakeGuest()
    struct.pack_into("<17H", guest.data, 64, *range(17))
    made.call(guest, 64)
    assert host.values == [tuple(range(17))]
    with pytest.raises(GuestTrap):
        made.call(guest, 4095)
    with pytest.raises(GuestTrap):
        made.call(guest, 65)


def test_variants_and_records_as_parameters() -> None:
    host = Called()
    kind = function(Variant((Case("a"), Case("b", P.STRING))), Record((Field("x", P.U8), Field("y", P.BOOL))))
    made = imported(kind, host)
    made.call(FakeGuest(), 0, 0, 0, 300, 1)
    guest = FakeGuest()
    guest.data[8:10] = b"hi"
    made.call(guest, 1, 8, 2, 1, 0)
    assert host.values == [("a", (44, True)), (("b", "hi"), (1, False))]


@pytest.mark.parametrize("pointer", [1, 4096, 4092, 0xFFFFFFF8])
def test_a_result_pointer_that_cannot_be_written(pointer: int) -> None:
    made = imported(function(result=Tuple((P.U64, P.U8))), Called((1, 2)))
    with pytest.raises(GuestTrap):
        made.call(FakeGuest(), pointer)


def test_handles_come_and_go() -> None:
    guest = FakeGuest()
    index = imported(function(result=OWN), Called("made")).call(guest)
    host = Called()
    imported(function(OWN), host).call(guest, index)
    assert host.values == [("made",)]
    with pytest.raises(GuestTrap):
        imported(function(BORROW), host).call(guest, index)


def test_the_same_handle_lent_and_given_away() -> None:
    guest = FakeGuest()
    made = imported(function(BORROW, OWN), Called())
    index = guest.cx.handles.add(Handle(FILE, "a"))
    with pytest.raises(GuestTrap, match="lent"):
        made.call(guest, index, index)


def test_lending_ends_with_the_call() -> None:
    guest, host = FakeGuest(), Called()
    made = imported(function(BORROW, OWN), host)
    one, two = (guest.cx.handles.add(Handle(FILE, name)) for name in "ab")
    made.call(guest, one, two)
    assert host.values == [("a", "b")]
    assert guest.cx.handles.take_own(one, FILE) == "a"


def test_a_call_from_realloc() -> None:
    guest, host = FakeGuest(), Called()
    guest.cx.instance.may_leave = False
    with pytest.raises(GuestTrap, match="called an import"):
        imported(function(), host).call(guest)
    assert host.values == []


async def test_an_answer_that_is_waited_for_is_lowered_on_the_fiber() -> None:
    async def host(_guest: FakeGuest, size: int) -> str:
        await asyncio.sleep(0)
        return "x" * size

    made = imported(function(P.U32, result=P.STRING), host, suspends=True)
    assert made.suspends
    guest = FakeGuest()
    finish = await made.call(guest, 3, 512)
    assert guest.reallocs == []
    assert finish() is None
    pointer, length = struct.unpack_from("<II", guest.data, 512)
    assert guest.data[pointer : pointer + length] == b"xxx"


def test_an_answer_that_nobody_waits_for_is_closed() -> None:
    """A guest may be ended between its call and the wait; a coroutine left over would be complained about."""

    async def host(_guest: FakeGuest) -> int:
        raise AssertionError("never begun")

    later = imported(function(result=P.U32), host, suspends=True).call(FakeGuest())
    later.close()
    cancelled: list[bool] = []
    future = type("Future", (), {"__await__": None, "cancel": lambda _: cancelled.append(True)})()
    imported(function(result=P.U32), lambda _: future, suspends=True).call(FakeGuest()).close()
    assert cancelled == [True]


def test_an_answer_that_is_there_is_not_waited_for() -> None:
    made = imported(function(result=P.U32), Called(5), suspends=True)
    assert made.call(FakeGuest()) == 5


def test_each_call_has_a_budget_of_its_own() -> None:
    guest = FakeGuest()
    made = imported(function(P.STRING), Called())
    guest.cx.budget = -1
    made.call(guest, 0, 4096)
    assert guest.cx.budget > 0


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (OWN, True),
        (BORROW, False),
        (List(Option(Tuple((P.U8, OWN)))), True),
        (Result(None, OWN), True),
        (Variant((Case("a"), Case("b", Record((Field("x", OWN),))))), True),
        (EnumType(("a",)), False),
        (Flags(("a",)), False),
        (P.STRING, False),
    ],
)
def test_finding_handles_in_types(kind: ValueType, found: bool) -> None:
    assert contains([kind], Own) is found


# --- exports ----------------------------------------------------------------------------------------------


class Exporting(FakeGuest):
    """A guest whose exports are Python functions."""

    def __init__(self, **exports: Any) -> None:
        super().__init__()
        self.exports = exports
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    async def call(self, export: str, *values: Any) -> tuple[Any, ...]:
        self.calls.append((export, values))
        found: tuple[Any, ...] = self.exports[export](*values)
        return found


async def test_an_export() -> None:
    guest = Exporting(run=lambda pointer, length: (pointer + length,))
    call = lift_export(Lift(function(P.STRING, result=P.U32), "run", OPTIONS), 0, (FILE,))
    assert await call(guest, "hello") == 5
    assert guest.data[:5] == b"hello"


async def test_a_result_in_memory_and_its_post_return() -> None:
    guest = Exporting(run=lambda: (64,), clean=lambda _pointer: ())
    struct.pack_into("<II", guest.data, 64, 80, 3)
    guest.data[80:83] = b"abc"
    kind = function(result=P.STRING)
    call = lift_export(Lift(kind, "run", OPTIONS, "clean"), 0, (FILE,))
    assert await call(guest) == "abc"
    assert guest.calls == [("run", ()), ("clean", (64,))]
    assert guest.cx.instance.may_leave


async def test_borrowed_handles_must_be_dropped_before_the_end() -> None:
    kept: list[int] = []
    guest = Exporting(run=lambda index: kept.append(index) or ())
    call = lift_export(Lift(function(BORROW), "run", OPTIONS), 0, (FILE,))
    with pytest.raises(GuestTrap, match="without dropping 1 borrowed"):
        await call(guest, "a file")
    handle = guest.cx.handles.get(kept[0], FILE)
    assert isinstance(handle.scope, Scope)


async def test_parameters_of_an_export_in_memory() -> None:
    guest = Exporting(run=lambda pointer: (struct.unpack_from("<17H", guest.data, pointer)[16],))
    call = lift_export(Lift(function(*[P.U16] * 17, result=P.U32), "run", OPTIONS), 0, (FILE,))
    assert await call(guest, *range(17)) == 16
