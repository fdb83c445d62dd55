"""`resource.new`, `.rep` and `.drop`."""

from __future__ import annotations

from typing import Any

import pytest

from support.abi import FakeGuest
from wasmind.component.abi import builtins
from wasmind.component.abi.handles import Handle, Resource, Scope
from wasmind.component.plan import Options
from wasmind.errors import GuestTrap

MINE = Resource("mine", owner=0)


def two_instances() -> FakeGuest:
    return FakeGuest(64, Options(0), Options(1), instances=2)


def test_new_and_rep() -> None:
    guest = two_instances()
    index = builtins.resource_new(MINE, 0).call(guest, 77)
    assert builtins.resource_rep(MINE, 0).call(guest, index) == 77
    with pytest.raises(GuestTrap, match="no handle"):
        builtins.resource_rep(MINE, 1).call(guest, index)


def test_rep_of_another_resource() -> None:
    guest = two_instances()
    index = guest.cx.handles.add(Handle(Resource("other"), 1))
    with pytest.raises(GuestTrap, match="not a mine"):
        builtins.resource_rep(MINE, 0).call(guest, index)


def test_dropping_a_resource_of_the_host() -> None:
    dropped: list[Any] = []
    file = Resource("file", drop=lambda guest, representation: dropped.append((guest, representation)))
    guest = two_instances()
    index = guest.cx.handles.add(Handle(file, "a file"))
    drop = builtins.resource_drop(file, 0)
    assert drop.call(guest, index) is None
    assert dropped == [(guest, "a file")]
    with pytest.raises(GuestTrap, match="no handle"):
        drop.call(guest, index)


def test_dropping_what_is_borrowed_tells_the_call_alone() -> None:
    dropped: list[Any] = []
    file = Resource("file", drop=lambda _guest, representation: dropped.append(representation))
    guest, scope = two_instances(), Scope(2)
    index = guest.cx.handles.add(Handle(file, "a file", scope))
    builtins.resource_drop(file, 0).call(guest, index)
    assert scope.borrows == 1
    assert dropped == []


def test_dropping_what_is_lent() -> None:
    guest = two_instances()
    index = guest.cx.handles.add(Handle(MINE, 1, lends=1))
    with pytest.raises(GuestTrap, match="lent"):
        builtins.resource_drop(MINE, 0).call(guest, index)


def test_dropping_with_a_destructor_enters_its_instance() -> None:
    guest = two_instances()
    enter, leave = builtins.drop_enter(MINE, 1, (0,)), builtins.drop_leave(1, (0,))
    assert enter.results == ("i32", "i32")
    one, two, borrowed = (
        guest.host.contexts[1].handles.add(each)
        for each in (Handle(MINE, 7), Handle(MINE, 8), Handle(MINE, 9, Scope(1)))
    )
    assert enter.call(guest, one) == (1, 7)
    assert not guest.cx.instance.may_enter
    with pytest.raises(GuestTrap, match="while a call into it was under way"):
        enter.call(guest, two)
    leave.call(guest)
    assert guest.cx.instance.may_enter
    assert enter.call(guest, borrowed) == (0, 0)
    assert guest.cx.instance.may_enter


def test_dropping_without_one_needs_the_instance_free_too() -> None:
    guest = two_instances()
    guest.cx.instance.may_enter = False
    index = guest.host.contexts[1].handles.add(Handle(MINE, 7))
    with pytest.raises(GuestTrap, match="under way"):
        builtins.resource_drop(MINE, 1, (0,)).call(guest, index)


@pytest.mark.parametrize("make", [builtins.resource_new, builtins.resource_drop])
def test_not_from_realloc(make: Any) -> None:
    guest = two_instances()
    guest.cx.instance.may_leave = False
    with pytest.raises(GuestTrap, match="called an import"):
        make(MINE, 0).call(guest, 1)


@pytest.mark.parametrize(
    ("callee", "caller", "found"),
    [
        (0, 0, ()),
        (1, 0, (1,)),
        (0, 1, ()),
        (2, 1, (2,)),
        (3, 1, (3, 2)),
        (1, 3, (1,)),
    ],
)
def test_what_a_call_enters(callee: int, caller: int, found: tuple[int, ...]) -> None:
    """0 is the root, 1 and 2 its children, 3 a child of 2."""
    assert builtins.entered(callee, caller, (None, 0, 0, 2)) == found
