from __future__ import annotations

import asyncio

from wasmind.sandbox.scheduler import PATIENCE, Scheduler

MS = 1_000_000


async def test_the_one_that_used_least_goes_first() -> None:
    scheduler, order = Scheduler(), []

    async def wants(cpu: int) -> None:
        await scheduler.turn(cpu * MS)
        order.append(cpu)

    await asyncio.gather(*(wants(cpu) for cpu in (30, 10, 20, 10, 40)))
    assert order == [10, 10, 20, 30, 40]
    assert len(scheduler) == 0


async def test_nobody_starves_among_those_who_used_less() -> None:
    now = 0
    scheduler = Scheduler(lambda: now)
    old = scheduler.turn(3 * MS)
    for _ in range(10 * PATIENCE):
        newcomer = scheduler.turn(1 * MS)
        await asyncio.sleep(0)
        if old.done():
            break
        assert newcomer.done(), "it has used less, and has come in time"
        now += MS
    assert 2 * PATIENCE * MS <= now <= 2 * PATIENCE * MS + 2 * MS


async def test_equals_go_in_the_order_they_came() -> None:
    scheduler, order = Scheduler(), []

    async def wants(name: str) -> None:
        await scheduler.turn(5)
        order.append(name)

    await asyncio.gather(*(wants(name) for name in "abcdef"))
    assert order == list("abcdef")


async def test_one_slice_per_round_so_that_others_run_in_between() -> None:
    scheduler, events = Scheduler(), []

    async def greedy(cpu: int) -> None:
        for slices in range(3):
            await scheduler.turn(cpu + slices)
            events.append("slice")

    async def light() -> None:
        for _ in range(6):
            events.append("light")
            await asyncio.sleep(0)

    await asyncio.gather(greedy(1), greedy(2), greedy(3), light())
    first = events.index("slice")
    rounds = "".join("s" if event == "slice" else "." for event in events[first:])
    assert "sss" not in rounds.split("..")[0][:6]
    assert events.count("slice") == 9


async def test_a_turn_that_is_cancelled_is_passed_on() -> None:
    scheduler = Scheduler()
    first, second = scheduler.turn(1), scheduler.turn(2)
    first.cancel()
    await asyncio.wait_for(second, 1)


def test_a_new_loop_begins_with_an_empty_queue() -> None:
    scheduler = Scheduler()

    async def leave_one_behind() -> None:
        scheduler.turn(1)

    async def take_a_turn() -> None:
        await asyncio.wait_for(scheduler.turn(5), 1)

    asyncio.run(leave_one_behind())
    asyncio.run(take_a_turn())
