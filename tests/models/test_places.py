"""Where an inference goes, on a clock of the test's own."""

from __future__ import annotations

import pytest

from wasmind.models.places import AVOIDED_S, RENEW_S, Pace, local_first


def paces(
    local: float, remote: float, *, now: float = 100.0, parallel: tuple[int, int] = (1, 64)
) -> list[Pace]:
    found = [Pace(parallel[0]), Pace(parallel[1])]
    for pace, seconds in zip(found, (local, remote), strict=True):
        pace.measured(seconds, now)
    return found


@pytest.mark.parametrize(("prefer", "here"), [("local", True), ("remote", False)])
def test_a_fixed_place(prefer: str, here: bool) -> None:
    slow, fast = paces(9.0, 0.1)
    assert local_first(prefer, slow, fast, 100.0) is here  # type: ignore[arg-type]
    assert local_first(prefer, fast, slow, 100.0) is here  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("local", "remote", "here"), [(0.01, 0.02, True), (0.02, 0.01, False), (0.01, 0.01, True)]
)
def test_the_fastest_by_what_was_measured(local: float, remote: float, here: bool) -> None:
    assert local_first("fastest", *paces(local, remote), 100.0) is here


def test_load_moves_what_comes_to_the_slower_place() -> None:
    local, remote = paces(0.01, 0.035)
    went = []
    for _ in range(10):
        here = local_first("fastest", local, remote, 100.0)
        (local if here else remote).running += 1
        went.append(here)
    assert went[:3] == [True] * 3
    assert not any(went[3:]), "many run elsewhere at once"
    local.running = 0
    assert local_first("fastest", local, remote, 100.0)


def test_what_runs_at_once_here_counts() -> None:
    local, remote = paces(0.01, 0.02, parallel=(4, 64))
    local.running = 7
    assert local_first("fastest", local, remote, 100.0)
    local.running = 8
    assert not local_first("fastest", local, remote, 100.0)


def test_both_are_tried_at_first() -> None:
    local, remote = Pace(1), Pace(1)
    assert local_first("fastest", local, remote, 100.0)
    local.running += 1
    assert not local_first("fastest", local, remote, 100.0), "the other is not known yet"
    remote.running += 1
    assert local_first("fastest", local, remote, 100.0)


def test_an_old_figure_is_renewed_by_one_inference() -> None:
    local, remote = paces(0.01, 5.0)
    now = 100.0 + RENEW_S + 1
    local.measured(0.01, now)
    assert not local_first("fastest", local, remote, now)
    remote.running += 1
    assert local_first("fastest", local, remote, now)
    remote.running -= 1
    remote.measured(0.001, now)
    remote.measured(0.001, now)
    assert local_first("fastest", local, remote, now), "one measurement does not outweigh the mean"


def test_a_place_that_was_down_is_avoided_for_a_while() -> None:
    local, remote = paces(0.01, 0.02)
    local.failed(100.0)
    assert not local_first("fastest", local, remote, 100.1)
    assert local_first("fastest", local, remote, 100.1 + AVOIDED_S)


def test_the_mean_follows() -> None:
    local, remote = paces(0.01, 0.02)
    for _ in range(20):
        local.measured(0.1, 100.0)
    assert not local_first("fastest", local, remote, 100.0)
