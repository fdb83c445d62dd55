from __future__ import annotations

import asyncio
import struct
import time
from typing import TYPE_CHECKING

import pytest

from support.guests import Run
from wasmind.errors import BodyTimeout
from wasmind.guest_api.wasi.errno import BADF, FAULT, INVAL
from wasmind.guest_api.wasi.poll import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.sandbox import Program

OUT, SUBSCRIPTIONS, EVENTS, BUFFER = 16, 1024, 80_000, 160_000
SIZE = 4 * 65536
CLOCK, FD_READ, FD_WRITE = 0, 1, 2
REALTIME, MONOTONIC = 0, 1
MS = 1_000_000


@pytest.fixture
def wasi(program: Callable[[str], Program]) -> Program:
    return program("wasi_snapshot_preview1")


def timer(userdata: int, timeout: int, *, clock: int = MONOTONIC, absolute: bool = False) -> bytes:
    return struct.pack("<QB7xI4xQQH6x", userdata, CLOCK, clock, timeout, 0, absolute)


def stream(userdata: int, kind: int, fd: int) -> bytes:
    return struct.pack("<QB7xI28x", userdata, kind, fd)


async def poll(run: Run, *subscriptions: bytes) -> list[tuple[int, int, int, int]]:
    """What happened: (userdata, errno, kind, bytes)."""
    run.memory.write(SUBSCRIPTIONS, b"".join(subscriptions))
    assert await run.call("poll_oneoff", SUBSCRIPTIONS, EVENTS, len(subscriptions), OUT) == 0
    found = []
    for at in range(run.memory.u32(OUT)):
        *event, flags = struct.unpack("<QHB5xQH6x", run.memory.read(EVENTS + 32 * at, 32))
        assert flags == 0
        found.append(tuple(event))
    return found


class Parts:
    """A stdin that the test feeds."""

    terminal = False

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        self.part: bytes | None = None

    @property
    def ready(self) -> bool:
        return self.part is not None

    def take(self, limit: int) -> bytes | None:
        taken, self.part = self.part, None
        return taken

    async def wait(self) -> None:
        part = await self.queue.get()
        if isinstance(part, Exception):
            raise part
        self.part = part


@pytest.mark.parametrize("clock", [REALTIME, MONOTONIC])
async def test_sleeping(wasi: Program, clock: int) -> None:
    async with Run(wasi) as run:
        began = time.perf_counter()
        assert await poll(run, timer(7, 5 * MS, clock=clock)) == [(7, 0, CLOCK, 0)]
        assert 0.005 <= time.perf_counter() - began < 1
        assert run.guest.figures.waited_ns > 0


@pytest.mark.parametrize("clock", [REALTIME, MONOTONIC])
async def test_sleeping_until_a_time(wasi: Program, clock: int) -> None:
    async with Run(wasi) as run:
        now = time.time_ns() if clock == REALTIME else monotonic()
        began = time.perf_counter()
        assert await poll(run, timer(7, now + 5 * MS, clock=clock, absolute=True)) == [(7, 0, CLOCK, 0)]
        assert 0.004 <= time.perf_counter() - began < 1
        assert await poll(run, timer(8, now, clock=clock, absolute=True)) == [(8, 0, CLOCK, 0)]
        assert await poll(run, timer(9, 0, clock=clock, absolute=True)) == [(9, 0, CLOCK, 0)]


async def test_no_time_at_all_does_not_wait(wasi: Program) -> None:
    async with Run(wasi) as run:
        assert await poll(run, timer(1, 0)) == [(1, 0, CLOCK, 0)]
        assert run.guest.figures.waited_ns == 0


async def test_others_run_while_a_guest_sleeps(wasi: Program) -> None:
    runs = [await Run(wasi).start() for _ in range(50)]
    began = time.perf_counter()
    await asyncio.gather(*(poll(run, timer(1, 20 * MS)) for run in runs))
    assert time.perf_counter() - began < 0.5
    for run in runs:
        run.close()


async def test_the_first_of_several_times(wasi: Program) -> None:
    async with Run(wasi) as run:
        found = await poll(run, timer(1, 10**13), timer(2, 2 * MS), timer(3, 10**13))
        assert found == [(2, 0, CLOCK, 0)]
        assert await poll(run, timer(1, 0), timer(2, 10**13), timer(3, 0)) == [
            (1, 0, CLOCK, 0),
            (3, 0, CLOCK, 0),
        ]


async def test_outputs_are_always_ready(wasi: Program) -> None:
    async with Run(wasi) as run:
        found = await poll(run, timer(1, 10**13), stream(2, FD_WRITE, 1), stream(3, FD_WRITE, 2))
        assert found == [(2, 0, FD_WRITE, 1), (3, 0, FD_WRITE, 1)]


async def test_input_at_hand_is_ready(wasi: Program) -> None:
    async with Run(wasi, stdin=b"hello") as run:
        assert await poll(run, stream(5, FD_READ, 0), timer(6, 10**13)) == [(5, 0, FD_READ, 1)]


async def test_waiting_for_input(wasi: Program) -> None:
    parts = Parts()
    async with Run(wasi, stdin=parts) as run:
        asyncio.get_running_loop().call_later(0.002, parts.queue.put_nowait, b"hello")
        assert await poll(run, stream(5, FD_READ, 0), timer(6, 10**13)) == [(5, 0, FD_READ, 1)]
        assert await poll(run, stream(5, FD_READ, 0)) == [(5, 0, FD_READ, 1)]
        assert parts.take(5) == b"hello"


async def test_input_that_comes_after_the_time_is_not_lost(wasi: Program) -> None:
    """Receiving goes on when a poll has timed out, and a later read takes what came."""
    parts = Parts()
    async with Run(wasi, stdin=parts) as run:
        assert await poll(run, stream(5, FD_READ, 0), timer(6, MS)) == [(6, 0, CLOCK, 0)]
        assert await poll(run, stream(5, FD_READ, 0), timer(6, MS)) == [(6, 0, CLOCK, 0)]
        parts.queue.put_nowait(b"hello")
        run.memory.write(64, struct.pack("<II", BUFFER, 100))
        assert await run.call("fd_read", 0, 64, 1, OUT) == 0
        assert run.memory.read(BUFFER, 5) == b"hello"
        assert parts.queue.empty()


async def test_input_that_comes_between_two_polls_is_not_lost(wasi: Program) -> None:
    parts = Parts()
    async with Run(wasi, stdin=parts) as run:
        assert await poll(run, stream(5, FD_READ, 0), timer(6, MS)) == [(6, 0, CLOCK, 0)]
        parts.queue.put_nowait(b"hello")
        await asyncio.sleep(0.002)
        assert await poll(run, stream(5, FD_READ, 0), timer(6, 10**12)) == [(5, 0, FD_READ, 1)]
        parts.part = None
        assert await poll(run, stream(5, FD_READ, 0), timer(6, MS)) == [(6, 0, CLOCK, 0)]


async def test_reading_after_a_poll_waits_for_the_next_part(wasi: Program) -> None:
    parts = Parts()
    async with Run(wasi, stdin=parts) as run:
        loop = asyncio.get_running_loop()
        run.memory.write(64, struct.pack("<II", BUFFER, 100))
        for part in (b"first", b"later"):
            loop.call_later(0.002, parts.queue.put_nowait, part)
            assert await poll(run, stream(5, FD_READ, 0)) == [(5, 0, FD_READ, 1)]
            assert await run.call("fd_read", 0, 64, 1, OUT) == 0
            loop.call_later(0.002, parts.queue.put_nowait, part * 2)
            assert await run.call("fd_read", 0, 64, 1, OUT) == 0
            assert run.memory.read(BUFFER, 10) == part * 2


async def test_a_guest_that_ends_while_input_is_awaited(wasi: Program) -> None:
    run = await Run(wasi, stdin=Parts()).start()
    assert await poll(run, stream(5, FD_READ, 0), timer(6, MS)) == [(6, 0, CLOCK, 0)]
    others = asyncio.all_tasks()
    assert len(others) == 2
    run.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1


async def test_input_that_fails_ends_the_guest(wasi: Program) -> None:
    parts = Parts()
    run = await Run(wasi, stdin=parts).start()
    parts.queue.put_nowait(BodyTimeout("the body stalled"))
    with pytest.raises(BodyTimeout):
        await poll(run, stream(5, FD_READ, 0))
    run.close()


async def test_what_cannot_be_waited_for_is_an_event_with_an_error(wasi: Program) -> None:
    async with Run(wasi) as run:
        assert await poll(run, stream(1, FD_READ, 1), timer(9, 10**13)) == [(1, BADF, FD_READ, 0)]
        found = await poll(
            run,
            stream(1, FD_READ, 3),
            stream(2, FD_WRITE, 0),
            timer(3, 0, clock=2),
            struct.pack("<QB39x", 4, 77),
            timer(5, 10**13),
        )
        assert [(userdata, errno, kind) for userdata, errno, kind, _ in found] == [
            (1, BADF, FD_READ),
            (2, BADF, FD_WRITE),
            (3, INVAL, CLOCK),
            (4, INVAL, 77),
        ]


@pytest.mark.parametrize("count", [0, 1025, 2**26, 2**32 - 1])
async def test_the_number_of_subscriptions_is_bounded(wasi: Program, count: int) -> None:
    async with Run(wasi) as run:
        assert await run.call("poll_oneoff", SUBSCRIPTIONS, EVENTS, count, OUT) == INVAL


@pytest.mark.parametrize(
    ("subscriptions", "events", "out"),
    [(SIZE - 47, EVENTS, OUT), (SUBSCRIPTIONS, SIZE - 31, OUT), (SUBSCRIPTIONS, EVENTS, SIZE - 3)],
)
async def test_a_bad_pointer_is_a_fault(wasi: Program, subscriptions: int, events: int, out: int) -> None:
    async with Run(wasi) as run:
        assert await run.call("poll_oneoff", subscriptions, events, 1, out) == FAULT


async def test_a_thousand_subscriptions(wasi: Program) -> None:
    async with Run(wasi) as run:
        found = await poll(run, *(timer(at, 0) for at in range(1024)))
        assert [event[0] for event in found] == list(range(1024))
