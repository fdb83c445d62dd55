"""The shared memory: sealed, and never lent twice."""

from __future__ import annotations

import fcntl
import mmap
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmind.worker.arena import PAGE, Arena, Mapping, rounded

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 64 * PAGE


@pytest.fixture
def arena() -> Iterator[Arena]:
    made = Arena(SIZE)
    yield made
    made.close_descriptor()


def test_both_ends_see_the_same_bytes(arena: Arena) -> None:
    other = Mapping(os.dup(arena.fd), SIZE)
    arena.view(100, 5)[:] = b"hello"
    assert bytes(other.memory[100:105]) == b"hello"
    other.memory[100:105] = b"world"
    assert bytes(arena.view(100, 5)) == b"world"


def test_the_memory_outlives_its_descriptor(arena: Arena) -> None:
    arena.close_descriptor()
    arena.close_descriptor()
    arena.view(0, 1)[:] = b"x"
    assert arena.fd == -1


@pytest.mark.parametrize("size", [PAGE, 2 * SIZE])
def test_neither_side_can_shrink_or_grow_it(arena: Arena, size: int) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(arena.fd, size)


def test_the_seals_cannot_be_taken_off(arena: Arena) -> None:
    with pytest.raises(PermissionError):
        fcntl.fcntl(arena.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


def test_memory_that_was_never_used_costs_nothing() -> None:
    arena = Arena(1 << 34)
    try:
        arena.view((1 << 34) - 1, 1)[:] = b"x"
        assert os.fstat(arena.fd).st_blocks * 512 <= 1 << 21
    finally:
        arena.close_descriptor()


def test_a_size_is_taken_in_whole_pages() -> None:
    assert [rounded(size) for size in (0, 1, PAGE, PAGE + 1)] == [0, PAGE, PAGE, 2 * PAGE]
    arena = Arena(1)
    arena.close_descriptor()
    assert arena.size == PAGE


def test_what_was_freed_last_is_given_first(arena: Arena) -> None:
    first, second = arena.allocate(5000), arena.allocate(5000)
    assert first is not None
    assert second is not None
    arena.free(first, 5000)
    assert arena.allocate(6000) == first


def test_freed_parts_merge_when_a_larger_one_is_needed(arena: Arena) -> None:
    parts = [arena.allocate(PAGE) for _ in range(64)]
    assert arena.allocate(1) is None
    for part in parts[1::2] + parts[0::2]:
        assert part is not None
        arena.free(part, PAGE)
    assert arena.allocate(SIZE) == 0


def test_more_than_all_is_never_there(arena: Arena) -> None:
    assert arena.allocate(SIZE + 1) is None
    assert arena.used == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 20 * PAGE), st.integers(0, 10**6)), max_size=120))
def test_no_byte_is_lent_twice_and_none_is_lost(steps: list[tuple[bool, int, int]]) -> None:
    arena = Arena(SIZE)
    arena.close_descriptor()
    lent: list[tuple[int, int]] = []
    for take, size, which in steps:
        if take or not lent:
            offset = arena.allocate(size)
            if offset is None:
                continue
            end = offset + rounded(size)
            assert offset >= 0
            assert end <= SIZE
            assert all(end <= start or offset >= start + rounded(length) for start, length in lent)
            lent.append((offset, size))
        else:
            arena.free(*lent.pop(which % len(lent)))
        assert arena.used == sum(rounded(length) for _, length in lent)
    for offset, length in lent:
        arena.free(offset, length)
    assert arena.allocate(SIZE) == 0


class TestMapping:
    def test_a_wrong_size_is_refused(self, arena: Arena) -> None:
        with pytest.raises(ValueError, match="not 1"):
            Mapping(os.dup(arena.fd), 1)

    def test_a_file_that_could_shrink_is_refused(self) -> None:
        fd = os.memfd_create("loose", os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, PAGE)
        with pytest.raises(ValueError, match="not sealed"):
            Mapping(fd, PAGE)

    def test_the_descriptor_is_closed_either_way(self, arena: Arena) -> None:
        for size in (SIZE, 5):
            fd = os.dup(arena.fd)
            try:
                Mapping(fd, size)
            except ValueError:
                assert size == 5
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(fd)

    @pytest.mark.parametrize(
        ("offset", "length", "inside"),
        [
            (0, SIZE, True),
            (SIZE, 0, True),
            (1, SIZE, False),
            (-1, 1, False),
            (0, -1, False),
            (2**63, 1, False),
        ],
    )
    def test_only_bytes_within_count(self, arena: Arena, offset: int, length: int, inside: bool) -> None:
        assert Mapping(os.dup(arena.fd), SIZE).holds(offset, length) is inside

    def test_the_address_is_where_the_bytes_are(self, arena: Arena) -> None:
        import ctypes

        mapping = Mapping(os.dup(arena.fd), SIZE)
        mapping.memory[7:10] = b"abc"
        assert ctypes.string_at(mapping.address + 7, 3) == b"abc"
        assert mapping.address % mmap.PAGESIZE == 0
