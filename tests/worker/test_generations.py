"""Generations in the worker: places, turns, and what becomes of one that fails or is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from wasmind.errors import RuntimeFailed
from wasmind.worker.call import Call
from wasmind.worker.generations import PATIENCE_S, Generations, Turns
from wasmind.worker.wire import Infer

if TYPE_CHECKING:
    from collections.abc import Sequence


class Counting:
    """A generation of so many steps."""

    def __init__(self, steps: int = 100) -> None:
        self.left = steps
        self.ended = False
        self.closed = 0

    def step(self) -> Sequence[Any]:
        self.left -= 1
        self.ended = self.left == 0
        return []

    def close(self) -> None:
        self.closed += 1


def connection() -> Any:
    return object()


def call(number: int, on: Any, *, begins: bool = False, arrived: int = 0) -> Call:
    dims = ((1,),) if begins else ()
    return Call(on, Infer(number, 0, dims, (), (), number), arrived)


def begin(generations: Generations, of: Call, made: Counting) -> None:
    assert generations.take_place()
    with generations.step(of, lambda: made) as found:
        found.step()


def no_beginning() -> Counting:
    raise AssertionError("nothing begins here")


def test_it_has_a_place_until_it_is_forgotten() -> None:
    generations, on, made = Generations(2), connection(), Counting()
    begin(generations, call(1, on, begins=True), made)
    with generations.step(call(1, on), no_beginning) as found:
        assert found is made
    assert generations.free == 1
    generations.forget(on, 1)
    assert (generations.free, made.closed) == (2, 1)
    generations.forget(on, 1)
    assert (generations.free, made.closed) == (2, 1)


def test_no_more_begin_than_there_are_places() -> None:
    generations = Generations(1)
    assert generations.take_place()
    assert not generations.take_place()
    generations.give_back()
    assert generations.take_place()


def test_one_that_has_ended_gives_its_place_back_and_still_answers() -> None:
    generations, on, made = Generations(1), connection(), Counting(1)
    begin(generations, call(1, on, begins=True), made)
    assert generations.free == 1
    with generations.step(call(1, on), no_beginning) as found:
        assert found.ended
    generations.forget(on, 1)
    assert (generations.free, made.closed) == (1, 0)


def test_one_that_fails_is_forgotten() -> None:
    generations, on, made = Generations(1), connection(), Counting()
    begin(generations, call(1, on, begins=True), made)
    with pytest.raises(ZeroDivisionError), generations.step(call(1, on), no_beginning):
        raise ZeroDivisionError
    assert (generations.free, made.closed) == (1, 1)
    with pytest.raises(RuntimeFailed, match="no such"), generations.step(call(1, on), no_beginning):
        pass


def test_one_that_does_not_begin_gives_its_place_back() -> None:
    generations, on = Generations(1), connection()

    def refuse() -> Counting:
        raise ZeroDivisionError

    assert generations.take_place()
    with pytest.raises(ZeroDivisionError), generations.step(call(1, on, begins=True), refuse):
        pass
    assert generations.free == 1


def test_one_that_is_forgotten_during_a_step_goes_after_it() -> None:
    generations, on, made = Generations(1), connection(), Counting()
    assert generations.take_place()
    with generations.step(call(1, on, begins=True), lambda: made):
        generations.forget(on, 1)
        assert made.closed == 0
    assert (generations.free, made.closed) == (1, 1)


def test_one_that_was_cancelled_before_it_began_does_not_begin() -> None:
    generations, on = Generations(1), connection()
    cancelled = call(1, on, begins=True)
    assert generations.take_place()
    cancelled.cancelled = True
    generations.forget(on, 1)
    with pytest.raises(RuntimeFailed), generations.step(cancelled, no_beginning):
        pass
    assert generations.free == 1


def test_a_number_means_one_per_connection() -> None:
    generations, one, other = Generations(2), connection(), connection()
    mine, theirs = Counting(), Counting()
    begin(generations, call(1, one, begins=True), mine)
    begin(generations, call(1, other, begins=True), theirs)
    with generations.step(call(1, other), no_beginning) as found:
        assert found is theirs
    generations.forget_all(one)
    assert (mine.closed, theirs.closed, generations.free) == (1, 0, 1)


def test_a_number_cannot_be_begun_twice() -> None:
    generations, on = Generations(2), connection()
    begin(generations, call(1, on, begins=True), Counting())
    assert generations.take_place()
    with pytest.raises(RuntimeFailed), generations.step(call(1, on, begins=True), no_beginning):
        pass
    assert generations.free == 1


def test_one_that_pauses_too_long_gives_way_to_one_that_waits() -> None:
    now = [100.0]
    generations, on = Generations(2, lambda: now[0]), connection()
    paused, active = Counting(), Counting()
    begin(generations, call(1, on, begins=True), paused)
    begin(generations, call(2, on, begins=True), active)
    now[0] += PATIENCE_S
    with generations.step(call(2, on), no_beginning) as found:
        found.step()
        assert generations.take_place()
    assert (paused.closed, active.closed, generations.free) == (1, 0, 0)
    assert not generations.take_place()
    with pytest.raises(RuntimeFailed) as caught, generations.step(call(1, on), no_beginning):
        pass
    assert "paused for more than 10 s" in str(caught.value.cause)
    generations.forget(on, 1)
    generations.forget(on, 2)
    assert generations.free == 1


def test_nobody_gives_way_while_there_is_room() -> None:
    now = [100.0]
    generations, on, made = Generations(2, lambda: now[0]), connection(), Counting()
    begin(generations, call(1, on, begins=True), made)
    now[0] += 10 * PATIENCE_S
    assert generations.take_place()
    assert made.closed == 0


# --- turns ------------------------------------------------------------------------------------------------


def test_they_go_in_order_of_arrival() -> None:
    turns, on = Turns(Generations(2)), connection()
    first, second, third = (
        call(1, on, arrived=1),
        call(2, on, begins=True, arrived=2),
        call(3, on, arrived=3),
    )
    for each in (first, second, third):
        turns.add(each)
    assert turns.due() == 0
    assert [turns.take(), turns.take(), turns.take(), turns.take()] == [[first], [second], [third], []]
    assert turns.due() is None


def test_steps_pass_those_that_wait_for_a_place() -> None:
    generations, on = Generations(0), connection()
    turns = Turns(generations)
    waiting, step = call(1, on, begins=True, arrived=1), call(2, on, arrived=2)
    turns.add(waiting)
    assert turns.due() not in (None, 0)
    assert turns.take() == []
    turns.add(step)
    assert turns.due() == 0
    assert turns.take() == [step]
    generations.give_back()
    assert turns.due() == 0
    assert turns.take() == [waiting]
    assert generations.free == 0


def test_what_was_dropped_is_passed_over_and_takes_no_place() -> None:
    generations, on = Generations(1), connection()
    turns = Turns(generations)
    dropped, kept = call(1, on, begins=True, arrived=1), call(2, on, begins=True, arrived=2)
    turns.add(dropped)
    turns.add(kept)
    turns.drop(dropped)
    assert turns.take() == [kept]
    turns.add(dropped)
    assert turns.due() is None
    assert generations.free == 0
