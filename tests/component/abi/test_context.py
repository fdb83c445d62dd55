"""Memory as lifting and lowering see it."""

from __future__ import annotations

import pytest

from support.abi import FakeGuest
from wasmind.component.abi.context import BUDGET, open_contexts
from wasmind.component.abi.handles import Handle, Resource
from wasmind.component.plan import Options
from wasmind.errors import GuestTrap, LimitExceeded


def test_contexts_of_one_instance_share_its_handles() -> None:
    guest = FakeGuest()
    options = (Options(0, memory="memory"), Options(0), Options(1))
    one, two, other = open_contexts(guest, 2, options)
    index = one.handles.add(Handle(Resource("file"), None))
    assert two.entries[index] is one.entries[index]
    assert other.handles is not one.handles
    assert one.instances is other.instances


def test_the_memory_is_found_when_it_is_needed() -> None:
    guest = FakeGuest(64, Options(0, memory="memory"))
    assert len(guest.cx.buffer) == 0
    guest.cx.check(60, 4, 4)
    assert len(guest.cx.buffer) == 64


def test_a_memory_that_grew_is_asked_for_its_size_once() -> None:
    guest = FakeGuest(64, Options(0, memory="memory"))
    guest.cx.check(0, 64, 1)
    guest.memory.grow(64)
    guest.cx.check(64, 64, 1)
    looks = guest.memory.looks
    guest.cx.check(0, 128, 1)
    assert guest.memory.looks == looks
    with pytest.raises(GuestTrap, match="ends at 129, outside the memory") as caught:
        guest.cx.check(1, 128, 1)
    assert caught.value.cause == "it has 128 bytes"


def test_a_memory_that_moves_is_looked_for_before_each_call() -> None:
    guest = FakeGuest(8, Options(0, memory="memory"), moves=True)
    guest.cx.prepare()
    assert guest.cx.wary
    guest.memory.grow(0)
    guest.data[0] = 7
    assert guest.cx.buffer[0] == 0
    guest.cx.prepare()
    assert guest.cx.buffer[0] == 7


def test_one_that_stays_is_not() -> None:
    guest = FakeGuest(8, Options(0, memory="memory"))
    guest.cx.prepare()
    assert not guest.cx.wary


def test_without_a_memory() -> None:
    guest = FakeGuest(8, Options(0))
    guest.cx.prepare()
    assert not guest.cx.wary
    with pytest.raises(GuestTrap, match="outside"):
        guest.cx.check(0, 1, 1)


@pytest.mark.parametrize(("pointer", "align"), [(1, 2), (2, 4), (6, 4), (4, 8), (0xFFFFFFFF, 2)])
def test_alignment(pointer: int, align: int) -> None:
    with pytest.raises(GuestTrap, match=f"{pointer} is not a multiple of {align}"):
        FakeGuest().cx.check(pointer, 1, align)


def test_the_budget_of_a_call() -> None:
    guest = FakeGuest()
    guest.cx.spend(BUDGET)
    with pytest.raises(LimitExceeded, match="too much"):
        guest.cx.spend(1)
    guest.cx.renew()
    guest.cx.spend(1)


def test_a_call_from_a_function_that_may_not_call() -> None:
    guest = FakeGuest()
    guest.cx.instance.may_leave = False
    with pytest.raises(GuestTrap, match="called an import"):
        guest.cx.prepare()


def test_lent_handles_are_returned() -> None:
    guest = FakeGuest()
    handle = Handle(Resource("file"), None)
    guest.cx.lend(handle)
    guest.cx.lend(handle)
    assert handle.lends == 2
    guest.cx.return_lent()
    assert (handle.lends, guest.cx.lenders) == (0, [])
