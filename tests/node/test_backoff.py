"""Restarts: the first at once, then later and later, never in step, and not for ever."""

from __future__ import annotations

import pytest

from wasmind.node import backoff
from wasmind.node.backoff import DEATHS_TO_QUARANTINE, LONGEST, STEADY, Backoff


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(backoff, "monotonic", lambda: now[0])
    return now


def test_delays_double_up_to_the_longest(clock: list[float]) -> None:
    found = Backoff()
    found.born()
    delays = [found.died() for _ in range(20)]
    assert delays[0] == 0.0
    for index, delay in enumerate(delays[1:]):
        nominal = min(LONGEST, 0.1 * 2**index)
        assert nominal * 0.75 <= delay <= nominal * 1.25


def test_restarts_of_many_are_spread(clock: list[float]) -> None:
    second = set()
    for _ in range(50):
        found = Backoff()
        found.died()
        second.add(found.died())
    assert len(second) > 40


def test_a_steady_life_forgives_deaths_before_it(clock: list[float]) -> None:
    found = Backoff()
    for _ in range(DEATHS_TO_QUARANTINE - 1):
        found.born()
        found.died()
    found.born()
    clock[0] += STEADY
    assert found.died() == 0.0
    assert not found.hopeless


def test_dying_again_and_again_is_hopeless(clock: list[float]) -> None:
    found = Backoff()
    verdicts = []
    for _ in range(DEATHS_TO_QUARANTINE):
        found.born()
        clock[0] += STEADY / 2
        found.died()
        verdicts.append(found.hopeless)
    assert verdicts == [False] * (DEATHS_TO_QUARANTINE - 1) + [True]
