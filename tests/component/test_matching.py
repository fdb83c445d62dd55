"""What the host offers, held against what a plan asks for."""

from __future__ import annotations

from typing import Any

import pytest

from wasmind.component.abi.values import Err
from wasmind.component.interface import WitInterface
from wasmind.component.matching import Offer, describe, refusing, renumber
from wasmind.component.plan import Instance, Plan, Resource
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
from wasmind.errors import GuestTrap, UnknownImport

P = Primitive
files = WitInterface("test:files/files@1.2.0")
FILE = files.resource("file", lambda _guest, _file: None)


@files.method(FILE, "read", {"len": P.U32}, Result(List(P.U8), EnumType(("no",))))
def read(_guest: Any, _file: Any, _length: int) -> bytes:
    return b""


sockets = WitInterface("test:files/sockets@1.2.0", refuses="denied")


def plan(*resources: Resource) -> Plan:
    return Plan(1, (), (), (), resources, (Instance(),))


def function(*params: ValueType, result: ValueType | None = None) -> FunctionType:
    return FunctionType(tuple(Field(f"p{at}", kind) for at, kind in enumerate(params)), result)


READ = FunctionType(
    (Field("self", Borrow(ResourceType(1))), Field("len", P.U32)), Result(List(P.U8), EnumType(("no",)))
)
USED = plan(Resource("mine", owner=0), Resource("file", "test:files/files@1.0.0"))


def test_resources_get_what_drops_them() -> None:
    offer = Offer(USED, (files,))
    mine, file = offer.resources
    assert (mine.owner, mine.drop) == (0, None)
    assert (file.name, file.owner, file.drop) == ("file", None, files.resources["file"])


def test_one_resource_imported_in_two_versions_is_one() -> None:
    two = plan(Resource("file", "test:files/files@1.0.0"), Resource("file", "test:files/files@1.1.0"))
    one, other = Offer(two, (files,)).resources
    assert one is other


def test_a_function_of_the_right_type() -> None:
    assert (
        Offer(USED, (files,)).function("test:files/files@1.0.0", "[method]file.read", READ).function is read
    )


@pytest.mark.parametrize(
    "kind",
    [
        FunctionType(READ.params),
        FunctionType((READ.params[0], Field("len", P.U64)), READ.result),
        FunctionType((READ.params[0], Field("size", P.U32)), READ.result),
        FunctionType((Field("self", Own(ResourceType(1))), READ.params[1]), READ.result),
        FunctionType((Field("self", Borrow(ResourceType(0))), READ.params[1]), READ.result),
        FunctionType(READ.params, Result(List(P.U8), EnumType(("no", "yes")))),
    ],
)
def test_a_function_of_another_type(kind: FunctionType) -> None:
    with pytest.raises(UnknownImport, match="imported with another type") as caught:
        Offer(USED, (files,)).function("test:files/files@1.0.0", "[method]file.read", kind)
    assert "it is func(self: borrow<file>, len: u32) -> result<list<u8>, enum { no }>" in str(
        caught.value.cause
    )


def test_what_is_not_offered_is_named_with_the_nearest() -> None:
    offer = Offer(USED, (files, sockets))
    with pytest.raises(UnknownImport, match="no function") as caught:
        offer.function("test:files/files@1.0.0", "[method]file.raed", READ)
    assert "[method]file.read" in str(caught.value.remedy)
    with pytest.raises(UnknownImport, match="not offered") as caught:
        offer.function("test:file/files@1.0.0", "x", READ)
    assert "test:files/files@1.2.0" in str(caught.value.remedy)
    with pytest.raises(UnknownImport, match="has no resource flie"):
        Offer(plan(Resource("flie", "test:files/files@1.0.0")), (files,))
    with pytest.raises(UnknownImport, match="no interface"):
        Offer(plan(Resource("file")), (files,))


def test_functions_that_are_refused() -> None:
    offer = Offer(plan(Resource("socket", "test:files/sockets@1.0.0")), (sockets,))
    kind = function(Borrow(ResourceType(0)), result=Result(P.U8, EnumType(("other", "denied"))))
    assert offer.function("test:files/sockets@1.0.0", "connect", kind).function(None, 1) == Err("denied")
    assert refusing(function(result=Option(P.U8)), "denied", "x").function(None) is None


@pytest.mark.parametrize("result", [None, P.U8, Result(P.U8, EnumType(("other",))), Result(P.U8, P.STRING)])
def test_functions_that_can_only_end_the_guest(result: ValueType | None) -> None:
    with pytest.raises(GuestTrap, match="called test:x") as caught:
        refusing(function(result=result), "denied", "test:x").function(None)
    assert caught.value.cause == "this platform does not grant it"


def test_renumbering_reaches_every_part() -> None:
    def built(handle: ResourceType) -> FunctionType:
        own, borrow = Own(handle), Borrow(handle)
        return function(
            List(own),
            List(borrow, 2),
            Tuple((P.U8, own)),
            Record((Field("x", own),)),
            Variant((Case("a"), Case("b", own))),
            Option(borrow),
            Result(own, None),
            Flags(("a",)),
            result=Result(None, own),
        )

    assert renumber(built(ResourceType(3)), {3: FILE}) == built(FILE)
    assert renumber(built(ResourceType(4)), {3: FILE}) == built(ResourceType(4))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (function(), "func()"),
        (function(P.U8, result=P.STRING), "func(p0: u8) -> string"),
        (function(Own(FILE), Borrow(FILE)), "func(p0: file, p1: borrow<file>)"),
        (function(Own(ResourceType(7))), "func(p0: resource 7)"),
        (function(result=Result()), "func() -> result"),
        (function(result=Result(None, P.U8)), "func() -> result<_, u8>"),
        (function(List(P.U8), List(P.U8, 4)), "func(p0: list<u8>, p1: list<u8, 4>)"),
        (function(Option(Tuple((P.U8, P.U16)))), "func(p0: option<tuple<u8, u16>>)"),
        (function(Variant((Case("a"), Case("b", P.U8)))), "func(p0: variant { a, b(u8) })"),
        (function(Record((Field("x", P.U8),)), Flags(("f",))), "func(p0: record { x: u8 }, p1: flags { f })"),
    ],
)
def test_types_in_words(kind: FunctionType, text: str) -> None:
    assert describe(kind) == text
