from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from wasmind.sandbox.ticker import Ticker

if TYPE_CHECKING:
    from collections.abc import Iterator


class Ticks:
    def __init__(self) -> None:
        self.count = 0
        self.ticker = Ticker(0.002, self.tick)

    def tick(self) -> None:
        self.count += 1

    def wait(self, what: str, seconds: float = 10.0) -> None:
        until = time.monotonic() + seconds
        while not getattr(self, what):
            assert time.monotonic() < until, what
            time.sleep(0.001)

    @property
    def ticked(self) -> bool:
        return self.count >= 3

    @property
    def asleep(self) -> bool:
        return self.ticker.asleep


@pytest.fixture
def ticks() -> Iterator[Ticks]:
    made = Ticks()
    yield made
    made.ticker.polling = 0
    made.ticker.close()


def test_no_thread_before_the_first_poll(ticks: Ticks) -> None:
    assert ticks.asleep
    assert ticks.ticker._thread is None


def test_a_long_poll_is_ticked(ticks: Ticks) -> None:
    ticks.ticker.polling = 1
    ticks.ticker.wake()
    ticks.wait("ticked")


def test_it_falls_asleep_and_is_woken(ticks: Ticks) -> None:
    ticks.ticker.wake()
    ticks.wait("asleep")
    assert ticks.count == 0
    ticks.ticker.polling = 2
    ticks.ticker.wake()
    assert not ticks.asleep
    ticks.wait("ticked")


def test_it_does_not_fall_asleep_on_a_running_poll(ticks: Ticks) -> None:
    ticks.ticker.wake()
    ticks.wait("asleep")
    for round_ in range(20):
        ticks.count = 0
        ticks.ticker.polling = round_ + 1
        if ticks.ticker.asleep:
            ticks.ticker.wake()
        ticks.wait("ticked")
        ticks.ticker.polling = 0
        time.sleep(0.003 * round_)


def test_a_small_budget_makes_it_look_more_often(ticks: Ticks) -> None:
    look = ticks.ticker.look_s
    ticks.ticker.heed(10**9)
    assert ticks.ticker.look_s == look
    ticks.ticker.heed(3_000_000)
    assert ticks.ticker.look_s == 0.003
    ticks.ticker.heed(1)
    assert ticks.ticker.look_s == ticks.ticker.tick_s


def test_closing_joins_the_thread() -> None:
    ticks = Ticks()
    ticks.ticker.close()
    ticks.ticker.wake()
    thread = ticks.ticker._thread
    assert thread is not None
    ticks.ticker.close()
    assert not thread.is_alive()
