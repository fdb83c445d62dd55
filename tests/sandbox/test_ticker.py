from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from wasmind.sandbox.ticker import Ticker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TICK_S = 0.01


class Guest:
    """What a poll and the epoch's callback do, in the test's hands."""

    def __init__(self) -> None:
        self.ticks = 0
        self.long = True
        self.ticker = Ticker(TICK_S, self.tick)

    def tick(self) -> None:
        self.ticks += 1
        if self.long:
            self.ticker.again()

    def poll(self, seconds: float) -> None:
        if time.perf_counter_ns() > self.ticker.due:
            self.ticker.put_off(time.perf_counter_ns())
        self.ticker.polling = True
        time.sleep(seconds)
        self.ticker.polling = False

    def begin(self) -> None:
        self.ticker.put_off(time.perf_counter_ns())
        self.ticker.polling = True


def wait(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.001)


@pytest.fixture
def guest() -> Iterator[Guest]:
    made = Guest()
    yield made
    made.ticker.close()


def test_no_thread_before_the_first_poll(guest: Guest) -> None:
    assert guest.ticker._thread is None
    assert guest.ticker.due == 0


def test_a_long_poll_is_ticked_again_and_again(guest: Guest) -> None:
    guest.begin()
    wait(lambda: guest.ticks >= 5)


def test_short_polls_are_not_ticked_however_many_there_are(guest: Guest) -> None:
    until = time.monotonic() + 20 * TICK_S
    while time.monotonic() < until:
        guest.poll(TICK_S / 20)
    assert guest.ticks <= 1, "one, if this process was held up for as long as a look"


def test_a_tick_that_finds_no_guest_for_long_is_the_last(guest: Guest) -> None:
    guest.long = False
    guest.begin()
    wait(lambda: guest.ticks == 1)
    time.sleep(10 * TICK_S)
    assert guest.ticks == 1


def test_it_goes_on_for_a_while_and_then_waits_to_be_put_off_again(guest: Guest) -> None:
    guest.begin()
    wait(lambda: guest.ticks >= 2)
    guest.ticker.polling = False
    wait(lambda: guest.ticker._looks == 0)
    seen = guest.ticks
    guest.ticker.polling = True
    time.sleep(5 * TICK_S)
    assert guest.ticks == seen, "nobody put it off since"
    guest.begin()
    wait(lambda: guest.ticks > seen)


def test_it_does_not_look_while_nothing_is_polled(guest: Guest) -> None:
    guest.poll(0)
    time.sleep(10 * TICK_S)
    assert guest.ticks == 0


def test_a_small_budget_makes_it_look_sooner(guest: Guest) -> None:
    look = guest.ticker.look_ns
    guest.ticker.heed(10**9)
    assert guest.ticker.look_ns == look == 4 * TICK_S * 1e9
    guest.ticker.due = 1
    guest.ticker.heed(30_000_000)
    assert guest.ticker.look_ns == 30_000_000
    assert guest.ticker.due == 0, "what is set already would be too late"
    guest.ticker.heed(1)
    assert guest.ticker.look_ns == TICK_S * 1e9


def test_it_is_put_off_twice_in_a_look_and_every_two_milliseconds() -> None:
    ticker = Ticker(0.000_5, lambda: None)
    ticker.put_off(1_000)
    assert ticker.due == 1_001_000
    ticker.close()
    ticker = Ticker(1, lambda: None)
    ticker.put_off(1_000)
    assert ticker.due == 2_001_000
    ticker.close()


def test_closing_joins_the_thread(guest: Guest) -> None:
    guest.begin()
    thread = guest.ticker._thread
    assert thread is not None
    guest.ticker.close()
    assert not thread.is_alive()
    guest.ticker.close()
