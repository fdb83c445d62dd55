from __future__ import annotations

import pytest

from wasmind.edge.admission import Admission, Slots
from wasmind.errors import FunctionBusy, Overloaded


def test_a_function_over_its_limit_is_busy_and_others_are_served() -> None:
    admission, one, other = Admission(10), Slots(2), Slots(1)
    admission.enter(one, "one")
    admission.enter(one, "one")
    with pytest.raises(FunctionBusy) as busy:
        admission.enter(one, "one")
    assert busy.value.status == 429
    assert busy.value.retry_after
    admission.enter(other, "other")
    assert (admission.node.taken, one.taken, other.taken) == (3, 2, 1)


def test_a_full_worker_is_overloaded() -> None:
    admission, one, other = Admission(1), Slots(5), Slots(5)
    admission.enter(one, "one")
    with pytest.raises(Overloaded) as overloaded:
        admission.enter(other, "other")
    assert overloaded.value.status == 503
    assert type(overloaded.value) is Overloaded
    assert other.taken == 0


def test_a_place_given_back_can_be_taken_again() -> None:
    admission, slots = Admission(1), Slots(1)
    for _ in range(3):
        admission.enter(slots, "f")
        admission.leave(slots)
    assert (admission.node.taken, slots.taken) == (0, 0)


def test_a_lowered_limit_refuses_until_enough_have_left() -> None:
    admission, slots = Admission(10), Slots(3)
    for _ in range(3):
        admission.enter(slots, "f")
    slots.limit = 1
    admission.leave(slots)
    with pytest.raises(FunctionBusy):
        admission.enter(slots, "f")
    admission.leave(slots)
    admission.leave(slots)
    admission.enter(slots, "f")


def test_a_limit_of_nothing_lets_nothing_in() -> None:
    with pytest.raises(FunctionBusy):
        Admission(1).enter(Slots(0), "f")


def test_requests_that_come_one_by_one_are_counted_until_two_meet() -> None:
    admission, slots = Admission(10), Slots(10)
    for _ in range(3):
        admission.enter(slots, "f")
        admission.leave(slots)
    assert admission.alone == 3
    admission.enter(slots, "f")
    admission.enter(slots, "f")
    assert admission.alone == 0
    admission.leave(slots)
    admission.leave(slots)
    admission.enter(slots, "f")
    assert admission.alone == 1
