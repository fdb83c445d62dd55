from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmind.errors import BodyTimeout
from wasmind.guest_api.cgi.body import BodySource


class Parts:
    """An edge that receives these parts."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = list(parts)
        self.calls = 0

    async def __call__(self) -> bytes:
        self.calls += 1
        return self.parts.pop(0) if self.parts else b""


async def all_of(source: BodySource, limit: int) -> bytes:
    found = b""
    while True:
        part = source.take(limit)
        if part is None:
            assert not source.ready
            await source.wait()
        elif not len(part):
            return found
        else:
            assert len(part) <= limit
            found += part


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=10), st.integers(1, 60))
def test_a_body_comes_in_order(parts: list[bytes], limit: int) -> None:
    import asyncio

    assert asyncio.run(all_of(BodySource(Parts(*parts)), limit)) == b"".join(parts)


async def test_nothing_is_received_before_the_guest_reads() -> None:
    edge = Parts(b"hello")
    source = BodySource(edge)
    assert not source.ready
    assert source.take(5) is None
    assert edge.calls == 0
    await source.wait()
    assert edge.calls == 1
    assert source.ready


async def test_the_end_is_received_once() -> None:
    edge = Parts(b"hello")
    source = BodySource(edge)
    assert await all_of(source, 100) == b"hello"
    for _ in range(3):
        assert source.ready
        assert source.take(10) == b""
        await source.wait()
    assert edge.calls == 2


async def test_a_request_without_a_body_has_ended_from_the_start() -> None:
    source = BodySource(None)
    assert source.ready
    assert source.take(10) == b""
    await source.wait()
    assert not source.terminal


async def test_what_ends_the_request_is_passed_on() -> None:
    async def stalled() -> bytes:
        raise BodyTimeout("the body stalled")

    with pytest.raises(BodyTimeout):
        await BodySource(stalled).wait()
