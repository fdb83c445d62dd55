"""Bytes in several buffers, taken from the front."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from wasmind.httpd.outgoing import Outgoing


@given(st.lists(st.binary(max_size=20), max_size=6), st.lists(st.integers(1, 30), max_size=30))
def test_they_come_in_order_whatever_is_taken(parts: list[bytes], sizes: list[int]) -> None:
    out, found = Outgoing(parts, b"tail"), b""
    for size in sizes:
        size = min(size, out.size)
        taken = b"".join(out.take(size))
        assert len(taken) == size
        found += taken
    found += b"".join(out.take(out.size))
    assert (found, out.size, out.tail) == (b"".join(parts), 0, b"tail")


def test_a_view_of_numbers_is_its_bytes() -> None:
    numbers = array("I", [1, 2, 3])
    out = Outgoing([memoryview(numbers)], b"")
    assert out.size == 12
    assert b"".join(out.take(12)) == numbers.tobytes()
