"""Lent memory: given back once, and not before the worker is done with it."""

from __future__ import annotations

from pickle import PickleBuffer
from typing import TYPE_CHECKING

import pytest

from wasmind.backends.leases import PrivateLease, ProcessOutputs, SharedLease, Space
from wasmind.nn.tensor import Tensor, TensorType
from wasmind.worker.arena import PAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 16 * PAGE


class Freed:
    count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def freed() -> Freed:
    return Freed()


@pytest.fixture
def space(freed: Freed) -> Iterator[Space]:
    made = Space(SIZE, freed)
    yield made
    made.arena.close_descriptor()


def lent(space: Space, size: int) -> SharedLease:
    lease = space.lease(size)
    assert lease is not None
    return lease


def test_a_lease_has_exactly_the_length_asked_for(space: Space) -> None:
    lease = lent(space, 5001)
    assert len(lease.view) == 5001
    assert not lease.view.readonly
    assert len(PrivateLease(7).view) == 7
    PrivateLease(7).release()


def test_releasing_gives_back_once(space: Space, freed: Freed) -> None:
    lease = lent(space, 5000)
    assert space.arena.used == 2 * PAGE
    lease.release()
    lease.release()
    assert space.arena.used == 0
    assert freed.count == 1
    assert space.leases == {}


def test_memory_that_was_given_back_cannot_be_looked_into(space: Space) -> None:
    lease = lent(space, 5000)
    view = lease.view
    lease.release()
    with pytest.raises(ValueError, match="released"):
        view[0]


def test_a_call_under_way_keeps_what_it_reads(space: Space) -> None:
    lease = lent(space, 5000)
    lease.hold()
    lease.hold()
    lease.release()
    lease.let_go()
    assert space.arena.used == 2 * PAGE
    lease.let_go()
    assert space.arena.used == 0


def test_a_call_that_ends_leaves_the_lease_to_its_holder(space: Space) -> None:
    lease = lent(space, 5000)
    lease.hold()
    lease.let_go()
    assert space.arena.used == 2 * PAGE
    lease.release()
    assert space.arena.used == 0


def test_leases_leave_room_for_calls_under_way(space: Space) -> None:
    leases = []
    while (lease := space.lease(PAGE)) is not None:
        leases.append(lease)
    assert len(leases) == 12  # three quarters of sixteen
    assert space.arena.allocate(PAGE) is not None


def test_memory_that_somebody_still_looks_into_is_not_used_again(space: Space, freed: Freed) -> None:
    lease = lent(space, PAGE)
    held = PickleBuffer(lease.view)
    lease.release()
    assert (space.arena.used, freed.count) == (PAGE, 0)
    assert bytes(held) == bytes(PAGE)


class TestOutputs:
    def outputs(self, space: Space) -> ProcessOutputs:
        offset = space.arena.allocate(PAGE)
        assert offset is not None
        view = space.arena.view(offset, 8)
        tensors = (Tensor(TensorType.F32, (2,), view), Tensor(TensorType.U8, (1,), b"x"))
        return ProcessOutputs(tensors, 5, 6, 7, space, [(offset, PAGE)], [view])

    def test_they_tell_the_time(self, space: Space) -> None:
        outputs = self.outputs(space)
        assert (outputs.queue_ns, outputs.compute_ns, outputs.batch) == (5, 6, 7)

    def test_they_are_released_once_and_closed(self, space: Space, freed: Freed) -> None:
        outputs = self.outputs(space)
        outputs.release()
        outputs.release()
        assert space.arena.used == 0
        assert freed.count == 1
        with pytest.raises(ValueError, match="released"):
            bytes(outputs.tensors[0].data)
        assert bytes(outputs.tensors[1].data) == b"x"
