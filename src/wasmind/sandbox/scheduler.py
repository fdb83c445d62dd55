"""Turns for guests that want more CPU: the one that has used least goes first, one slice per round of the
event loop.

Nobody is passed over for ever: for each millisecond that a guest has used more than another, it lets those
go first that come within `PATIENCE` milliseconds. Without that a guest of three slices would starve among
guests of two that keep coming.

A fresh guest, and one whose wait is over, is not queued here: it runs in the same round as the I/O that woke
it. So however many guests spin, a small one waits for one slice at each of its steps.
"""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush
from time import perf_counter_ns
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


PATIENCE = 16


class Scheduler:
    """The queue of one event loop; a new loop begins with an empty one. `clock` is in nanoseconds."""

    __slots__ = ("_clock", "_loop", "_order", "_queue")

    def __init__(self, clock: Callable[[], int] = perf_counter_ns) -> None:
        self._clock = clock
        self._queue: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = 0  # breaks ties first come, first served
        self._loop: asyncio.AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._queue)

    def turn(self, cpu_ns: int) -> asyncio.Future[None]:
        """Queue for a slice; the future is done when the turn has come. Cancelling it gives the turn up."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._queue = loop, []
        if not self._queue:
            loop.call_soon(self._grant)
        future: asyncio.Future[None] = loop.create_future()
        self._order += 1
        heappush(self._queue, (self._clock() + PATIENCE * cpu_ns, self._order, future))
        return future

    def _grant(self) -> None:
        while self._queue:
            future = heappop(self._queue)[2]
            if not future.done():
                future.set_result(None)
                break
        if self._queue and self._loop is not None:
            self._loop.call_soon(self._grant)
