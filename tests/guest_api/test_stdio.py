from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmind.guest_api.stdio import BytesSink, BytesSource, FileSink, FileSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


@given(st.binary(max_size=200), st.lists(st.integers(1, 50)))
def test_bytes_come_in_order_and_then_the_end(data: bytes, limits: list[int]) -> None:
    source = BytesSource(data)
    found = b""
    for limit in [*limits, 1000]:
        assert source.ready
        part = source.take(limit)
        assert len(part) == min(limit, len(data) - len(found))
        found += part
    assert found == data
    assert source.take(1) == b""


async def test_bytes_never_wait() -> None:
    await BytesSource(b"").wait()
    assert not BytesSource().terminal


def test_a_sink_keeps_up_to_its_limit() -> None:
    sink = BytesSink(10)
    for part in (b"hello", b", ", b"world", b"!"):
        sink.write(part)
    sink.flush()
    sink.close()
    assert sink.value == b"hello, wor"
    assert sink.dropped == 3


async def test_a_pipe_is_ready_when_it_has_bytes(pipe: tuple[int, int]) -> None:
    source = FileSource(pipe[0])
    assert not source.ready
    assert source.take(10) is None
    os.write(pipe[1], b"hello")
    await source.wait()
    assert source.ready
    assert source.take(3) == b"hel"
    assert source.take(3) == b"lo"
    assert source.take(3) is None
    os.close(pipe[1])
    await source.wait()
    assert source.take(3) == b""


async def test_waiting_for_a_pipe_lets_others_run(pipe: tuple[int, int]) -> None:
    source = FileSource(pipe[0])
    waiting = asyncio.create_task(source.wait())
    await asyncio.sleep(0.001)
    assert not waiting.done()
    os.write(pipe[1], b"x")
    await asyncio.wait_for(waiting, 1)
    assert source.take(1) == b"x"


async def test_a_wait_can_be_given_up(pipe: tuple[int, int]) -> None:
    source = FileSource(pipe[0])
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(source.wait(), 0.001)
    os.write(pipe[1], b"x")
    await source.wait()
    assert source.take(1) == b"x"


def test_a_file_is_always_ready(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"hello")
    with open(path, "rb") as file:
        source = FileSource(file.fileno())
        assert (source.take(100), source.take(100)) == (b"hello", b"")
        assert not source.terminal


def test_a_terminal_is_one() -> None:
    ours, theirs = os.openpty()
    try:
        assert FileSource(theirs).terminal
        assert FileSink(theirs).terminal
    finally:
        os.close(ours)
        os.close(theirs)


def test_all_is_written(pipe: tuple[int, int]) -> None:
    sink = FileSink(pipe[1])
    sink.write(b"")
    sink.write(b"hello")
    sink.flush()
    sink.close()
    assert os.read(pipe[0], 100) == b"hello"
    sink.write(b"the descriptor is still open")
    assert not sink.terminal


def test_a_reader_that_is_gone(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    with pytest.raises(BrokenPipeError):
        FileSink(pipe[1]).write(b"hello")
