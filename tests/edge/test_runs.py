from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, cast

from wasmind.edge.runs import Runs

if TYPE_CHECKING:
    from wasmind.edge.http_request import HttpRequest


class Request:
    """A request that ends a moment after it is told to."""

    def __init__(self, runs: Runs, *, stubborn: bool = False) -> None:
        self.runs = runs
        self.told = False
        self.stubborn = stubborn
        runs.begin(self.itself)

    @property
    def itself(self) -> HttpRequest:
        return cast("HttpRequest", self)

    def end(self) -> None:
        self.told = True
        if not self.stubborn:
            asyncio.get_running_loop().call_later(0.02, self.runs.end, self.itself)


async def test_it_is_idle_when_the_last_run_has_ended() -> None:
    runs = Runs()
    assert await runs.idle(0.01)
    one, two = Request(runs), Request(runs)
    assert len(runs) == 2
    assert not await runs.idle(0.01)
    waiting = asyncio.create_task(runs.idle(5))
    runs.end(one.itself)
    await asyncio.sleep(0.01)
    assert not waiting.done()
    runs.end(two.itself)
    assert await waiting


async def test_what_is_left_is_cut() -> None:
    runs = Runs()
    one, two = Request(runs), Request(runs)
    assert await runs.cut() == 2
    assert one.told
    assert two.told
    assert len(runs) == 0
    assert await runs.cut() == 0


async def test_a_run_that_does_not_end_is_not_waited_for_forever() -> None:
    runs = Runs()
    Request(runs, stubborn=True)
    started = time.monotonic()
    assert await runs.cut() == 1
    assert time.monotonic() - started < 5


async def test_ending_twice_is_harmless() -> None:
    runs = Runs()
    one = Request(runs)
    runs.end(one.itself)
    runs.end(one.itself)
    assert len(runs) == 0
