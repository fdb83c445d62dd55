"""Calls that wait: in order within a tenant, in turn between tenants."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from wasmind.backends.queue import FairQueue


@dataclass
class Item:
    tenant: str
    number: int = 0
    gone: bool = False


def taken(queue: FairQueue[Item]) -> list[str]:
    order = []
    while (item := queue.first()) is not None:
        assert queue.first() is item
        queue.pop()
        order.append(f"{item.tenant}{item.number}")
    return order


def test_a_tenant_with_many_calls_delays_another_by_one() -> None:
    queue: FairQueue[Item] = FairQueue()
    for number in range(4):
        queue.push(Item("a", number))
    queue.push(Item("b", 0))
    assert taken(queue) == ["a0", "b0", "a1", "a2", "a3"]
    assert not queue


def test_what_nobody_waits_for_is_passed_over() -> None:
    queue: FairQueue[Item] = FairQueue()
    items = [Item("a", 0), Item("a", 1), Item("b", 0)]
    for item in items:
        queue.push(item)
    queue.give_up(items[0])
    queue.give_up(items[2])
    assert taken(queue) == ["a1"]


def test_what_nobody_waits_for_does_not_pile_up() -> None:
    queue: FairQueue[Item] = FairQueue()
    first = Item("a", -1)
    queue.push(first)
    for number in range(10_000):
        item = Item("ab"[number % 2], number)
        queue.push(item)
        queue.give_up(item)
    assert sum(len(own) for own in queue._tenants.values()) < 300
    assert taken(queue) == ["a-1"]


def test_draining_gives_what_somebody_waits_for() -> None:
    queue: FairQueue[Item] = FairQueue()
    items = [Item("a", 0), Item("b", 0, gone=True), Item("b", 1)]
    for item in items:
        queue.push(item)
    assert queue.drain() == [items[0], items[2]]
    assert queue.first() is None
    assert not queue


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans()), max_size=80))
def test_each_is_taken_once_in_its_tenants_order(steps: list[tuple[str, bool, bool]]) -> None:
    queue: FairQueue[Item] = FairQueue()
    wanted: list[Item] = []
    got: list[Item] = []
    for number, (tenant, gone, take) in enumerate(steps):
        item = Item(tenant, number)
        queue.push(item)
        wanted.append(item)
        if gone:
            queue.give_up(item)
            wanted.remove(item)
        if take and (first := queue.first()) is not None:
            queue.pop()
            got.append(first)
    while (first := queue.first()) is not None:
        queue.pop()
        got.append(first)
    for tenant in "abc":
        mine = [item for item in wanted if item.tenant == tenant]
        assert [item for item in got if item.tenant == tenant] == mine


@given(st.lists(st.sampled_from("ab"), max_size=60))
def test_no_tenant_has_two_turns_while_another_waits(tenants: list[str]) -> None:
    queue: FairQueue[Item] = FairQueue()
    for number, tenant in enumerate(tenants):
        queue.push(Item(tenant, number))
    left = {tenant: tenants.count(tenant) for tenant in "ab"}
    last = None
    while (item := queue.first()) is not None:
        queue.pop()
        other = "b" if item.tenant == "a" else "a"
        assert item.tenant != last or not left[other]
        left[item.tenant] -= 1
        last = item.tenant
