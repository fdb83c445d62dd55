"""The queue of a worker: order, company, delay."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from wasmind.worker.batcher import Batcher, Line


@dataclass(eq=False)
class Waiting:
    name: str
    group: str | None = "a"
    rows: int = 1
    arrived: int = 0
    left: bool = False


class Clock:
    now = 0

    def __call__(self) -> int:
        return self.now


def names(batch: list[Waiting]) -> str:
    return "".join(call.name for call in batch)


def filled(largest: int, *calls: Waiting, delay: int = 0, clock: Clock | None = None) -> Batcher[Waiting]:
    batcher: Batcher[Waiting] = Batcher(largest, delay, clock or Clock())
    for call in calls:
        batcher.add(call)
    return batcher


def test_without_batching_calls_run_one_by_one_in_order() -> None:
    line: Line[Waiting] = Line()
    assert line.due() is None
    calls = [Waiting("1"), Waiting("2"), Waiting("3"), Waiting("4", group=None), Waiting("5")]
    for call in calls:
        line.add(call)
    assert line.due() == 0
    line.drop(calls[1])
    line.drop(calls[4])
    assert [names(line.take()) for _ in range(4)] == ["1", "3", "4", ""]
    assert all(call.left for call in calls)
    assert line.due() is None


def test_the_oldest_takes_along_what_fits_beside_it() -> None:
    batcher = filled(3, Waiting("1"), Waiting("b", group="b"), Waiting("2"), Waiting("3"), Waiting("4"))
    assert [names(batcher.take()) for _ in range(3)] == ["123", "b", "4"]


def test_rows_count_not_calls() -> None:
    batcher = filled(8, Waiting("1", rows=3), Waiting("2", rows=4), Waiting("3", rows=2), Waiting("4"))
    assert [names(batcher.take()) for _ in range(2)] == ["12", "34"]


def test_a_call_larger_than_a_batch_runs_alone() -> None:
    batcher = filled(4, Waiting("1", rows=9), Waiting("2"))
    assert [names(batcher.take()) for _ in range(2)] == ["1", "2"]


def test_a_call_without_a_group_runs_alone() -> None:
    batcher = filled(4, Waiting("1", group=None), Waiting("2", group=None), Waiting("3"))
    assert [names(batcher.take()) for _ in range(3)] == ["1", "2", "3"]


def test_what_was_dropped_is_passed_over() -> None:
    calls = [Waiting(str(number)) for number in range(5)]
    batcher = filled(4, *calls)
    for call in (calls[0], calls[2], calls[2]):
        batcher.drop(call)
    assert names(batcher.take()) == "134"
    assert batcher.due() is None


def test_a_delay_lets_the_first_wait_for_company() -> None:
    clock = Clock()
    batcher = filled(4, Waiting("1", arrived=0), delay=100, clock=clock)
    assert batcher.take() == []
    assert batcher.due() == 100
    clock.now = 60
    batcher.add(Waiting("2", arrived=60))
    assert batcher.due() == 40
    clock.now = 100
    assert batcher.due() == 0
    assert names(batcher.take()) == "12"


def test_a_full_batch_does_not_wait() -> None:
    batcher = filled(2, Waiting("b", group="b"), Waiting("1"), Waiting("2"), delay=100)
    assert batcher.due() == 0
    assert names(batcher.take()) == "12"
    assert batcher.due() == 100


def test_a_call_that_runs_alone_does_not_wait_behind_a_delay() -> None:
    batcher = filled(4, Waiting("1"), Waiting("x", group=None), delay=100)
    assert names(batcher.take()) == "x"
    assert batcher.take() == []


def test_a_batch_that_is_no_longer_full_waits_again() -> None:
    calls = [Waiting("1"), Waiting("2")]
    batcher = filled(2, *calls, delay=100)
    batcher.drop(calls[1])
    assert batcher.due() == 100
    assert batcher.take() == []


_calls = st.lists(
    st.tuples(st.sampled_from(["a", "b", None]), st.integers(1, 5), st.booleans(), st.integers(0, 3)),
    max_size=60,
)


@given(_calls, st.integers(2, 6), st.sampled_from([0, 50]))
def test_every_call_runs_once_with_its_like_and_in_its_order(
    steps: list[tuple[str | None, int, bool, int]], largest: int, delay: int
) -> None:
    clock = Clock()
    batcher: Batcher[Waiting] = Batcher(largest, delay, clock)
    kept, run = [], []

    def take() -> None:
        batch = batcher.take()
        assert len({call.group for call in batch}) <= 1
        assert len(batch) <= 1 or (batch[0].group is not None and sum(call.rows for call in batch) <= largest)
        run.extend(batch)

    for number, (group, rows, dropped, takes) in enumerate(steps):
        call = Waiting(str(number), group, rows, arrived=clock.now)
        batcher.add(call)
        if dropped:
            batcher.drop(call)
        else:
            kept.append(call)
        for _ in range(takes):
            take()
        clock.now += 20
    clock.now += delay
    while batcher.due() is not None:
        assert batcher.due() == 0
        before = len(run)
        take()
        assert len(run) > before
    assert sorted(run, key=kept.index) == kept
    for group in ("a", "b", None):
        mine = [call for call in run if call.group == group]
        assert mine == sorted(mine, key=kept.index)
