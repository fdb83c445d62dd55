"""Preview 1: reading stdin, writing stdout and stderr."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from support.guests import Run
from support.preview1 import BUFFER, OUT, SIZE, VECTORS, read, vectors, write
from wasmind.errors import BodyTimeout
from wasmind.guest_api.wasi import preview1
from wasmind.guest_api.wasi.errno import BADF, FAULT, INVAL, IO, PIPE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wasmind.sandbox import Program


@pytest.fixture
def wasi(program: Callable[[str], Program]) -> Program:
    return program("wasi_snapshot_preview1")


# --- reading ----------------------------------------------------------------------------------------------


async def test_reading_to_the_end(wasi: Program) -> None:
    async with Run(wasi, stdin=b"hello, world") as run:
        assert await read(run, 5) == b"hello"
        assert await read(run, 1, 3) == b", wo"
        assert await read(run, 100) == b"rld"
        assert await read(run, 100) == b""
        assert await read(run, 100) == b""


async def test_reading_into_no_room_reads_nothing(wasi: Program) -> None:
    async with Run(wasi, stdin=b"hello") as run:
        assert await read(run) == b""
        assert await read(run, 0, 0) == b""
        assert await read(run, 0, 5) == b"hello"


class SlowSource:
    """A stdin whose parts come one by one."""

    terminal = False

    def __init__(self, *parts: bytes | Exception) -> None:
        self.parts = list(parts)
        self.at_hand: bytes | None = None
        self.waits = 0

    @property
    def ready(self) -> bool:
        return self.at_hand is not None

    def take(self, limit: int) -> bytes | None:
        if self.at_hand is None:
            return None
        taken, rest = self.at_hand[:limit], self.at_hand[limit:]
        self.at_hand = rest if rest or not taken else None
        return taken

    async def wait(self) -> None:
        self.waits += 1
        await asyncio.sleep(0.001)
        part = self.parts.pop(0) if self.parts else b""
        if isinstance(part, Exception):
            raise part
        self.at_hand = part


async def test_reading_waits_only_when_nothing_is_at_hand(wasi: Program) -> None:
    source = SlowSource(b"abcdef", b"gh")
    async with Run(wasi, stdin=source) as run:
        assert await read(run, 4) == b"abcd"
        assert source.waits == 1
        assert await read(run, 4) == b"ef"
        assert source.waits == 1
        assert await read(run, 1, 9) == b"gh"
        assert source.waits == 2
        assert await read(run, 4) == b""
        assert source.waits == 3


async def test_a_stream_that_fails_is_an_errno(wasi: Program) -> None:
    async with Run(wasi, stdin=SlowSource(OSError("gone"))) as run:
        assert await run.call("fd_read", 0, *vectors(run, (BUFFER, 10)), OUT) == IO


async def test_a_request_that_stalls_ends_the_guest(wasi: Program) -> None:
    run = await Run(wasi, stdin=SlowSource(BodyTimeout("the body stalled"))).start()
    with pytest.raises(BodyTimeout):
        await run.call("fd_read", 0, *vectors(run, (BUFFER, 10)), OUT)
    run.close()


@pytest.mark.parametrize("fd", [1, 2, 3, 2**31, 2**32 - 1])
async def test_only_stdin_is_read_from(wasi: Program, fd: int) -> None:
    async with Run(wasi, stdin=b"hello") as run:
        assert await run.call("fd_read", fd, *vectors(run, (BUFFER, 5)), OUT) == BADF


async def test_a_bad_pointer_loses_no_input(wasi: Program) -> None:
    async with Run(wasi, stdin=b"hello") as run:
        assert await run.call("fd_read", 0, *vectors(run, (BUFFER, 2), (SIZE - 1, 3)), OUT) == FAULT
        assert await run.call("fd_read", 0, *vectors(run, (BUFFER, 5)), SIZE - 3) == FAULT
        assert await read(run, 5) == b"hello"


# --- writing ----------------------------------------------------------------------------------------------


async def test_writing(wasi: Program) -> None:
    async with Run(wasi) as run:
        assert await write(run, 1, b"hello, ", b"", b"world") == 0
        assert run.memory.u32(OUT) == 12
        assert await write(run, 2, b"oh no\n") == 0
        assert await write(run, 1) == 0
        assert run.memory.u32(OUT) == 0
        assert (run.stdout.value, run.stderr.value) == (b"hello, world", b"oh no\n")


@pytest.mark.parametrize("fd", [0, 3, 2**32 - 1])
async def test_only_stdout_and_stderr_are_written_to(wasi: Program, fd: int) -> None:
    async with Run(wasi) as run:
        assert await write(run, fd, b"hello") == BADF


async def test_a_bad_pointer_writes_nothing(wasi: Program) -> None:
    async with Run(wasi) as run:
        assert await run.call("fd_write", 1, *vectors(run, (BUFFER, 2), (SIZE - 1, 2)), OUT) == FAULT
        assert await run.call("fd_write", 1, *vectors(run, (BUFFER, 2)), SIZE - 3) == FAULT
        assert await run.call("fd_write", 1, SIZE - 7, 1, OUT) == FAULT
        assert run.stdout.value == b""


class SlowSink:
    """An output that takes one write at a time."""

    terminal = False

    def __init__(self, error: OSError | None = None, *, later: bool = True) -> None:
        self.writes: list[bytes] = []
        self.busy = False
        self.error = error
        self.later = later
        self.flushed = 0
        self.closed = 0

    def write(self, data: bytes) -> Awaitable[None] | None:
        assert not self.busy, "written to while it was busy"
        if self.error is not None and not self.later:
            raise self.error
        self.writes.append(data)
        return self._drain() if self.later else None

    async def _drain(self) -> None:
        self.busy = True
        await asyncio.sleep(0)
        self.busy = False
        if self.error is not None:
            raise self.error

    def flush(self) -> None:
        self.flushed += 1

    def close(self) -> Awaitable[None] | None:
        self.closed += 1
        return self._drain() if self.later else None


async def test_the_guest_waits_for_a_slow_reader(wasi: Program) -> None:
    sink = SlowSink()
    async with Run(wasi, stdout=sink) as run:
        assert await write(run, 1, b"one") == 0
        assert await write(run, 1, b"two") == 0
        assert sink.writes == [b"one", b"two"]
        assert run.guest.figures.waited_ns > 0


async def test_a_long_write_is_passed_on_piece_by_piece(wasi: Program) -> None:
    sink = SlowSink()
    data = bytes(range(256)) * 600
    async with Run(wasi, stdout=sink) as run:
        assert await write(run, 1, data[:100_000], data[100_000:]) == 0
        assert run.memory.u32(OUT) == len(data)
        assert b"".join(sink.writes) == data
        assert max(map(len, sink.writes)) <= preview1.CHUNK


@pytest.mark.parametrize("later", [True, False])
@pytest.mark.parametrize(("error", "errno"), [(BrokenPipeError(), PIPE), (OSError("disk full"), IO)])
async def test_an_output_that_fails_is_an_errno(
    wasi: Program, error: OSError, errno: int, later: bool
) -> None:
    async with Run(wasi, stdout=SlowSink(error, later=later)) as run:
        assert await write(run, 1, b"hello") == errno
        assert await write(run, 1, bytes(100_000)) == errno


@pytest.mark.parametrize("count", [1025, 2**29, 2**32 - 1])
async def test_the_number_of_buffers_is_bounded(wasi: Program, count: int) -> None:
    async with Run(wasi, stdin=b"hello") as run:
        assert await run.call("fd_write", 1, VECTORS, count, OUT) == INVAL
        assert await run.call("fd_read", 0, VECTORS, count, OUT) == INVAL


async def test_as_many_buffers_as_posix_allows(wasi: Program) -> None:
    async with Run(wasi, stdin=b"x" * 1024) as run:
        spans = [(BUFFER + 64 * 1024 + at, 1) for at in range(1024)]
        assert await run.call("fd_read", 0, *vectors(run, *spans), OUT) == 0
        assert await run.call("fd_write", 1, *vectors(run, *spans), OUT) == 0
        assert run.stdout.value == b"x" * 1024
