"""The table of one component instance's handles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmind.component.abi.handles import MAX_HANDLES, Handle, HandleTable, Resource, Scope
from wasmind.errors import GuestTrap, LimitExceeded

FILE, SOCKET = Resource("file"), Resource("socket")


def test_indices_begin_at_one_and_are_used_again() -> None:
    table = HandleTable()
    assert [table.add(Handle(FILE, name)) for name in "abc"] == [1, 2, 3]
    assert table.take_own(2, FILE) == "b"
    assert table.add(Handle(FILE, "d")) == 2
    assert table.add(Handle(FILE, "e")) == 4


def test_what_is_not_there() -> None:
    table = HandleTable()
    for index in (0, 1, 0xFFFFFFFF):
        with pytest.raises(GuestTrap, match=f"no handle {index}") as caught:
            table.get(index, FILE)
        assert caught.value.cause == "a file was expected"


def test_another_type_even_of_the_same_name() -> None:
    table = HandleTable()
    index = table.add(Handle(Resource("file"), None))
    with pytest.raises(GuestTrap, match="is a file, not a file"):
        table.get(index, FILE)
    with pytest.raises(GuestTrap, match="is a file, not a socket"):
        table.take(index, SOCKET)


def test_lent_and_borrowed_handles() -> None:
    table = HandleTable()
    lent = table.add(Handle(FILE, "lent", lends=1))
    borrowed = table.add(Handle(FILE, "borrowed", Scope(1)))
    with pytest.raises(GuestTrap, match="lent to a call"):
        table.take(lent, FILE)
    with pytest.raises(GuestTrap, match="cannot be given away"):
        table.take_own(borrowed, FILE)


def test_a_full_table() -> None:
    table = HandleTable()
    for _ in range(MAX_HANDLES):
        table.add(Handle(FILE, None))
    with pytest.raises(LimitExceeded):
        table.add(Handle(FILE, None))
    table.take_own(7, FILE)
    assert table.add(Handle(FILE, None)) == 7


@given(st.lists(st.integers(-5, 30), max_size=60))
def test_it_holds_exactly_what_was_put_in(steps: list[int]) -> None:
    """A negative step adds, another takes that index if it is there."""
    table, model, added = HandleTable(), {}, 0
    for step in steps:
        if step < 0:
            index = table.add(Handle(FILE, added))
            assert index not in model
            assert index > 0
            model[index] = added
            added += 1
        elif step in model:
            assert table.take_own(step, FILE) == model.pop(step)
        else:
            with pytest.raises(GuestTrap):
                table.take_own(step, FILE)
    assert {at: each.representation for at, each in enumerate(table.entries) if each} == model
