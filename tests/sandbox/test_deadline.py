from __future__ import annotations

import asyncio

from wasmind.sandbox.deadline import SLOT_S, Deadlines


class Expired:
    def __init__(self) -> None:
        self.at: float | None = None

    def expire(self) -> None:
        assert self.at is None
        self.at = asyncio.get_running_loop().time()


async def test_deadlines_pass_in_their_slot_and_not_before() -> None:
    deadlines, loop = Deadlines(), asyncio.get_running_loop()
    began = loop.time()
    items = [(Expired(), left) for left in (0.0, 0.01, 0.03, 0.03, 0.05)]
    for item, left in items:
        deadlines.watch(item, left)
    await asyncio.sleep(0.05 + 2 * SLOT_S)
    for item, left in items:
        assert item.at is not None
        assert item.at - began >= left - 0.001


async def test_what_is_forgotten_does_not_expire() -> None:
    deadlines = Deadlines()
    kept, forgotten = Expired(), Expired()
    deadlines.watch(kept, 0.01)
    slot = deadlines.watch(forgotten, 0.01)
    deadlines.forget(forgotten, slot)
    await asyncio.sleep(0.01 + 3 * SLOT_S)
    assert kept.at is not None
    assert forgotten.at is None
    deadlines.forget(kept, slot)


async def test_many_share_a_timer() -> None:
    deadlines, loop = Deadlines(), asyncio.get_running_loop()
    timers = []
    real = loop.call_at
    loop.call_at = lambda *args, **options: timers.append(args) or real(*args, **options)  # type: ignore[method-assign]
    try:
        for _ in range(1000):
            deadlines.watch(Expired(), 100.0)
    finally:
        loop.call_at = real  # type: ignore[method-assign]
    assert len(timers) <= 100


def test_a_new_loop_begins_with_none() -> None:
    deadlines, item = Deadlines(), Expired()

    async def watch(item: Expired) -> None:
        deadlines.watch(item, 0.01)
        await asyncio.sleep(0 if item is not last else 0.1)

    last = Expired()
    asyncio.run(watch(item))
    asyncio.run(watch(last))
    assert item.at is None
    assert last.at is not None
