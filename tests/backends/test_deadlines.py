"""One timer for many deadlines."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from wasmind.backends.deadlines import Deadlines


@dataclass(eq=False)
class Item:
    deadline: float


class Watched:
    """Deadlines relative to now, and when each item was told of."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.start = self.loop.time()
        self.told: list[tuple[Item, float]] = []
        self.deadlines: Deadlines[Item] = Deadlines(self.expire)

    def expire(self, item: Item) -> None:
        self.told.append((item, self.loop.time()))
        self.deadlines.items.discard(item)

    def add(self, seconds: float) -> Item:
        item = Item(self.start + seconds)
        self.deadlines.add(item)
        return item


async def test_each_is_told_of_after_its_deadline_and_soon() -> None:
    watched = Watched()
    items = [watched.add(seconds) for seconds in (0.06, 0.02, 0.1, 0.0201, 0.06)]
    await asyncio.sleep(0.25)
    assert {id(item) for item, _ in watched.told} == {id(item) for item in items}
    assert [item.deadline for item, _ in watched.told] == sorted(item.deadline for item in items)
    assert all(at >= item.deadline for item, at in watched.told)


async def test_one_that_was_removed_is_not_told_of() -> None:
    watched = Watched()
    watched.deadlines.items.discard(watched.add(0.02))
    late = watched.add(0.04)
    await asyncio.sleep(0.15)
    assert [item for item, _ in watched.told] == [late]


async def test_a_deadline_that_has_passed_already_is_told_of() -> None:
    watched = Watched()
    watched.add(-5)
    await asyncio.sleep(0.05)
    assert len(watched.told) == 1


async def test_many_that_are_late_one_after_the_other_do_not_put_it_off() -> None:
    watched = Watched()
    watched.deadlines.items.discard(watched.add(-1))
    timer = watched.deadlines._timer
    watched.add(-1)
    assert watched.deadlines._timer is timer is not None, "it rings when it was to ring"
    await asyncio.sleep(0.05)
    assert len(watched.told) == 1


async def test_a_deadline_that_never_comes_costs_no_timer() -> None:
    watched = Watched()
    watched.add(float("inf"))
    assert watched.deadlines._timer is None


async def test_calls_in_the_same_breath_set_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched()
    armed = 0
    arm = watched.deadlines._arm

    def counted(deadline: float) -> None:
        nonlocal armed
        armed += 1
        arm(deadline)

    monkeypatch.setattr(watched.deadlines, "_arm", counted)
    for number in range(1000):
        watched.add(30 + number / 1000)
    assert armed == 1
    watched.deadlines.close()


async def test_closed_it_tells_nothing() -> None:
    watched = Watched()
    watched.add(0.01)
    watched.deadlines.close()
    await asyncio.sleep(0.05)
    assert watched.told == []
