"""Two ways to one answer: which is taken, what becomes of the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from wasmind.backends.race import race


class Runs:
    """Counts what was begun, what was cancelled, what was discarded."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.cancelled: list[str] = []
        self.discarded: list[str] = []

    async def run(self, name: str, seconds: float, error: Exception | None = None) -> str:
        self.begun.append(name)
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        if error is not None:
            raise error
        return name


@pytest.fixture
def runs() -> Runs:
    return Runs()


@pytest.mark.parametrize("after", [None, 1.0])
async def test_a_first_answer_in_time_needs_no_second(runs: Runs, after: float | None) -> None:
    found = await race(runs.run("a", 0), lambda _: runs.run("b", 0), after=after)
    assert found == ("a", None)
    assert runs.begun == ["a"]


async def test_the_second_is_asked_when_the_first_is_late(runs: Runs) -> None:
    found = await race(runs.run("a", 5), lambda why: runs.run(why, 0), after=0.01)
    assert found == ("late", "late")
    assert runs.cancelled == ["a"]


async def test_a_late_first_may_still_be_first(runs: Runs) -> None:
    found = await race(runs.run("a", 0.05), lambda _: runs.run("b", 5), after=0.01)
    assert found == ("a", None)
    assert runs.cancelled == ["b"]


@pytest.mark.parametrize("after", [None, 1.0])
async def test_a_failure_that_gives_way(runs: Runs, after: float | None) -> None:
    first = runs.run("a", 0, OSError("down"))
    found = await race(
        first, lambda why: runs.run(why, 0), after=after, gives_way=lambda error: isinstance(error, OSError)
    )
    assert found == ("down", "down")


@pytest.mark.parametrize("after", [None, 1.0])
async def test_a_failure_that_does_not(runs: Runs, after: float | None) -> None:
    with pytest.raises(ValueError, match="wrong"):
        await race(runs.run("a", 0, ValueError("wrong")), lambda _: runs.run("b", 0), after=after)
    assert runs.begun == ["a"]


@pytest.mark.parametrize("after", [None, 1.0])
async def test_when_both_fail_the_first_says_why(runs: Runs, after: float | None) -> None:
    with pytest.raises(OSError, match="first") as raised:
        await race(
            runs.run("a", 0, OSError("first")),
            lambda _: runs.run("b", 0, OSError("second")),
            after=after,
            gives_way=lambda _: True,
        )
    assert str(raised.value.__cause__) == "second"


async def test_a_late_first_that_fails_leaves_the_answer_to_the_second(runs: Runs) -> None:
    found = await race(runs.run("a", 0.03, OSError("down")), lambda _: runs.run("b", 0.1), after=0.01)
    assert found == ("b", "late")


async def test_a_second_that_fails_leaves_the_answer_to_the_first(runs: Runs) -> None:
    found = await race(runs.run("a", 0.1), lambda _: runs.run("b", 0, OSError("down")), after=0.01)
    assert found == ("a", None)


@pytest.mark.parametrize(("first", "after"), [(0.05, 0.01), (0.0, None), (0.0, 1.0)])
async def test_no_second(runs: Runs, first: float, after: float | None) -> None:
    error = None if first else OSError("down")
    running: Callable[[], Awaitable[object]] = lambda: race(  # noqa: E731
        runs.run("a", first, error), lambda _: None, after=after, gives_way=lambda _: True
    )
    if error is None:
        assert await running() == ("a", None)
    else:
        with pytest.raises(OSError, match="down"):
            await running()


async def test_an_answer_that_nobody_takes_is_discarded(runs: Runs) -> None:
    gate = asyncio.Event()

    async def at_the_gate(name: str) -> str:
        await gate.wait()
        return name

    racing = asyncio.create_task(
        race(at_the_gate("a"), lambda _: at_the_gate("b"), after=0.0, discard=runs.discarded.append)
    )
    await asyncio.sleep(0.02)
    gate.set()
    assert await racing == ("a", None)
    assert runs.discarded == ["b"]


async def test_cancelling_cancels_both(runs: Runs) -> None:
    racing = asyncio.create_task(race(runs.run("a", 5), lambda _: runs.run("b", 5), after=0.01))
    await asyncio.sleep(0.05)
    racing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await racing
    assert sorted(runs.cancelled) == ["a", "b"]
