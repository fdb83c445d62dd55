"""The circuit breaker, on a clock of its own."""

from __future__ import annotations

import pytest

from wasmind.backends.oip.breaker import Breaker


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock, threshold=3, pause=1.0, longest=3.0)


def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.failed(breaker.enter())


def test_it_lets_requests_through(breaker: Breaker) -> None:
    fail(breaker, 2)
    assert breaker.ready()
    assert not breaker.is_open
    assert breaker.remaining == 0


def test_only_failures_in_a_row_count(breaker: Breaker) -> None:
    fail(breaker, 2)
    breaker.enter()
    breaker.succeeded()
    fail(breaker, 2)
    assert not breaker.is_open


def test_it_opens_for_a_while(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    assert breaker.is_open
    assert not breaker.ready()
    assert breaker.remaining == 1.0
    clock.now += 1.0
    assert breaker.ready()


def test_one_probe_at_a_time(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 1.0
    breaker.enter()
    assert not breaker.ready()
    breaker.succeeded()
    assert breaker.ready()
    assert not breaker.is_open


def test_each_failed_probe_doubles_the_pause(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    for pause in (2.0, 3.0, 3.0):
        clock.now += breaker.remaining
        fail(breaker)
        assert breaker.remaining == pause


def test_a_recovered_server_begins_with_the_first_pause(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 1.0
    fail(breaker)
    clock.now += 2.0
    breaker.enter()
    breaker.succeeded()
    fail(breaker, 3)
    assert breaker.remaining == 1.0


def test_a_cancelled_probe_leaves_its_place_to_another(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 1.0
    breaker.abandoned(breaker.enter())
    assert breaker.ready()
    assert breaker.is_open


def test_what_was_sent_before_it_opened_does_not_lengthen_the_pause(breaker: Breaker, clock: Clock) -> None:
    under_way = [breaker.enter() for _ in range(100)]
    for probe in under_way:
        breaker.failed(probe)
    assert breaker.remaining == 1.0


def test_the_end_of_an_older_request_does_not_end_the_probe(breaker: Breaker, clock: Clock) -> None:
    older = [breaker.enter() for _ in range(5)]
    for probe in older[:3]:
        breaker.failed(probe)
    clock.now += 1.0
    assert breaker.enter()
    breaker.failed(older[3])
    breaker.abandoned(older[4])
    assert not breaker.ready()
