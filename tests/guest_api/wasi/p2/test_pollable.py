"""Waiting for the first of several things."""

from __future__ import annotations

import asyncio
import time

import pytest

from wasmind.guest_api.wasi.p2.pollable import Always, Done, Pollable, Timer, ready_ones, wait_any
from wasmind.guest_api.wasi.poll import monotonic

MS = 1_000_000


def later(ms: float) -> Timer:
    return Timer(monotonic() + int(ms * MS))


async def test_what_is_ready_needs_no_wait() -> None:
    assert ready_ones([Always(), later(1000), later(-1)]) == [0, 2]
    assert await wait_any([later(1000), Always()]) == [1]


async def test_a_timer_is_ready_when_its_time_has_come_and_not_before() -> None:
    timer = later(5)
    assert not timer.ready
    began = time.monotonic_ns()
    assert await wait_any([timer]) == [0]
    assert time.monotonic_ns() - began >= 4 * MS
    assert timer.ready


async def test_the_first_of_several() -> None:
    began = time.monotonic()
    assert await wait_any([later(10_000), later(5), later(20_000)]) == [1]
    assert time.monotonic() - began < 5


async def test_a_future() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    pollable = Done(future)
    assert not pollable.ready
    asyncio.get_running_loop().call_later(0.002, future.set_result, 1)
    assert await wait_any([later(10_000), pollable]) == [1]
    assert pollable.ready


async def test_giving_up_a_wait_does_not_end_what_is_waited_for() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    assert await wait_any([Done(future), later(1)]) == [1]
    assert not future.cancelled()
    future.set_result(1)
    assert await wait_any([Done(future)]) == [0]


async def test_a_future_that_failed_is_ready() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    future.set_exception(ValueError("x"))
    assert await wait_any([Done(future)]) == [0]
    with pytest.raises(ValueError, match="x"):
        future.result()


async def test_cancelling_the_guest_cancels_its_waits() -> None:
    class Endless(Pollable):
        ready = False
        cancelled = False

        async def wait(self) -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                Endless.cancelled = True
                raise

    task = asyncio.ensure_future(wait_any([Endless(), later(60_000)]))
    await asyncio.sleep(0.002)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert Endless.cancelled


async def test_a_time_beyond_all_calendars() -> None:
    timer = Timer(2**64 - 1)
    waiting = asyncio.ensure_future(wait_any([timer]))
    await asyncio.sleep(0.002)
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
