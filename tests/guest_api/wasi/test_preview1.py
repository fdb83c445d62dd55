"""Preview 1 through a guest that calls what the test says."""

from __future__ import annotations

import asyncio
import struct
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.guests import Run
from support.preview1 import BUFFER, OUT, SIZE, VECTORS, vectors, write
from wasmind.errors import GuestExit
from wasmind.guest_api.stdio import BytesSource
from wasmind.guest_api.wasi import preview1
from wasmind.guest_api.wasi.errno import BADF, FAULT, INVAL, NOTDIR, NOTSOCK, NOTSUP, SPIPE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from wasmind.sandbox import Program


@pytest.fixture
def wasi(program: Callable[[str], Program]) -> Program:
    return program("wasi_snapshot_preview1")


def test_it_is_the_whole_of_preview_1() -> None:
    """typenames.witx and wasi_snapshot_preview1.witx have 46 functions; these are their core types."""
    expected = {
        "args_get": "(i32, i32) -> (i32)",
        "args_sizes_get": "(i32, i32) -> (i32)",
        "environ_get": "(i32, i32) -> (i32)",
        "environ_sizes_get": "(i32, i32) -> (i32)",
        "clock_res_get": "(i32, i32) -> (i32)",
        "clock_time_get": "(i32, i64, i32) -> (i32)",
        "fd_advise": "(i32, i64, i64, i32) -> (i32)",
        "fd_allocate": "(i32, i64, i64) -> (i32)",
        "fd_close": "(i32) -> (i32)",
        "fd_datasync": "(i32) -> (i32)",
        "fd_fdstat_get": "(i32, i32) -> (i32)",
        "fd_fdstat_set_flags": "(i32, i32) -> (i32)",
        "fd_fdstat_set_rights": "(i32, i64, i64) -> (i32)",
        "fd_filestat_get": "(i32, i32) -> (i32)",
        "fd_filestat_set_size": "(i32, i64) -> (i32)",
        "fd_filestat_set_times": "(i32, i64, i64, i32) -> (i32)",
        "fd_pread": "(i32, i32, i32, i64, i32) -> (i32)",
        "fd_prestat_get": "(i32, i32) -> (i32)",
        "fd_prestat_dir_name": "(i32, i32, i32) -> (i32)",
        "fd_pwrite": "(i32, i32, i32, i64, i32) -> (i32)",
        "fd_read": "(i32, i32, i32, i32) -> (i32)",
        "fd_readdir": "(i32, i32, i32, i64, i32) -> (i32)",
        "fd_renumber": "(i32, i32) -> (i32)",
        "fd_seek": "(i32, i64, i32, i32) -> (i32)",
        "fd_sync": "(i32) -> (i32)",
        "fd_tell": "(i32, i32) -> (i32)",
        "fd_write": "(i32, i32, i32, i32) -> (i32)",
        "path_create_directory": "(i32, i32, i32) -> (i32)",
        "path_filestat_get": "(i32, i32, i32, i32, i32) -> (i32)",
        "path_filestat_set_times": "(i32, i32, i32, i32, i64, i64, i32) -> (i32)",
        "path_link": "(i32, i32, i32, i32, i32, i32, i32) -> (i32)",
        "path_open": "(i32, i32, i32, i32, i32, i64, i64, i32, i32) -> (i32)",
        "path_readlink": "(i32, i32, i32, i32, i32, i32) -> (i32)",
        "path_remove_directory": "(i32, i32, i32) -> (i32)",
        "path_rename": "(i32, i32, i32, i32, i32, i32) -> (i32)",
        "path_symlink": "(i32, i32, i32, i32, i32) -> (i32)",
        "path_unlink_file": "(i32, i32, i32) -> (i32)",
        "poll_oneoff": "(i32, i32, i32, i32) -> (i32)",
        "proc_exit": "(i32) -> ()",
        "proc_raise": "(i32) -> (i32)",
        "random_get": "(i32, i32) -> (i32)",
        "sched_yield": "() -> (i32)",
        "sock_accept": "(i32, i32, i32) -> (i32)",
        "sock_recv": "(i32, i32, i32, i32, i32, i32) -> (i32)",
        "sock_send": "(i32, i32, i32, i32, i32) -> (i32)",
        "sock_shutdown": "(i32, i32) -> (i32)",
    }
    assert {host.name: str(host.signature) for host in preview1.wasi} == expected
    assert len(expected) == 46


# --- arguments and environment ----------------------------------------------------------------------------


async def strings(run: Run, kind: str) -> list[bytes]:
    assert await run.call(f"{kind}_sizes_get", OUT, OUT + 4) == 0
    count, size = run.memory.u32(OUT), run.memory.u32(OUT + 4)
    run.memory.write(BUFFER, b"\xee" * (size + 1))
    assert await run.call(f"{kind}_get", VECTORS, BUFFER) == 0
    assert run.memory.u8(BUFFER + size) == 0xEE
    pointers = run.memory.u32s(VECTORS, count)
    assert all(BUFFER <= pointer < BUFFER + size for pointer in pointers)
    blob = run.memory.read(BUFFER, size)
    return [blob[pointer - BUFFER : blob.index(b"\0", pointer - BUFFER)] for pointer in pointers]


@pytest.mark.parametrize("args", [[], ["guest"], ["guest", "", "größer", "x" * 500]])
async def test_arguments(wasi: Program, args: Sequence[str]) -> None:
    async with Run(wasi, args=args) as run:
        assert await strings(run, "args") == [arg.encode() for arg in args]


@pytest.mark.parametrize("env", [{}, {"A": "1"}, {"A": "", "PATH_INFO": "/ä b", "LONG": "x" * 3000}])
async def test_environment(wasi: Program, env: Mapping[str, str]) -> None:
    async with Run(wasi, env=env) as run:
        assert await strings(run, "environ") == [f"{name}={value}".encode() for name, value in env.items()]


@pytest.mark.parametrize(
    ("pointers", "buffer"), [(SIZE - 3, BUFFER), (VECTORS, SIZE - 3), (2**32 - 4, 2**32 - 1)]
)
async def test_strings_beyond_memory_are_a_fault(wasi: Program, pointers: int, buffer: int) -> None:
    async with Run(wasi, args=["guest"], env={"A": "1"}) as run:
        for kind in ("args", "environ"):
            assert await run.call(f"{kind}_get", pointers, buffer) == FAULT
            assert await run.call(f"{kind}_sizes_get", OUT, SIZE - 3) == FAULT


# --- clocks and randomness --------------------------------------------------------------------------------


async def test_clocks_tell_the_time(wasi: Program) -> None:
    async with Run(wasi) as run:
        assert await run.call("clock_time_get", 0, 0, OUT) == 0
        assert abs(run.memory.u64(OUT) - time.time_ns()) < 10**9
        assert await run.call("clock_time_get", 1, 0, OUT) == 0
        before = run.memory.u64(OUT)
        await asyncio.sleep(0.002)
        assert await run.call("clock_time_get", 1, 0, OUT) == 0
        assert 2 * 10**6 <= run.memory.u64(OUT) - before < 10**9
        for clock in (0, 1):
            assert await run.call("clock_res_get", clock, OUT) == 0
            assert 1 <= run.memory.u64(OUT) <= 10**7


async def test_the_monotonic_clock_says_nothing_of_the_machine(wasi: Program) -> None:
    async with Run(wasi) as run:
        assert await run.call("clock_time_get", 1, 0, OUT) == 0
        assert run.memory.u64(OUT) < time.monotonic_ns()


@pytest.mark.parametrize(("clock", "errno"), [(2, BADF), (3, BADF), (4, INVAL), (2**32 - 1, INVAL)])
async def test_other_clocks_are_not_offered(wasi: Program, clock: int, errno: int) -> None:
    async with Run(wasi) as run:
        assert await run.call("clock_time_get", clock, 0, OUT) == errno
        assert await run.call("clock_res_get", clock, OUT) == errno


@pytest.mark.parametrize("length", [0, 1, 256, 100_000])
async def test_random_bytes(wasi: Program, length: int) -> None:
    async with Run(wasi) as run:
        assert await run.call("random_get", BUFFER, length) == 0
        first = run.memory.read(BUFFER, length)
        assert await run.call("random_get", BUFFER, length) == 0
        assert length < 16 or run.memory.read(BUFFER, length) != first
        assert run.memory.read(BUFFER + length, 16) == bytes(16)


async def test_random_bytes_are_bounded(wasi: Program) -> None:
    async with Run(wasi) as run:
        assert await run.call("random_get", SIZE - 10, 11) == FAULT
        assert await run.call("random_get", 1, 2**32 - 1) == FAULT


# --- the end ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1, 42, 255, 2**32 - 1])
async def test_exiting_ends_the_guest(wasi: Program, code: int) -> None:
    run = await Run(wasi).start()
    with pytest.raises(GuestExit):
        await run.call("proc_exit", code)
    assert run.guest.exit_code == code
    run.close()


async def test_signals_are_not_offered(wasi: Program) -> None:
    async with Run(wasi) as run:
        assert await run.call("proc_raise", 9) == NOTSUP
        assert await run.call("sched_yield") == 0


# --- descriptors ------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("terminal", [True, False])
async def test_what_a_stream_is(wasi: Program, terminal: bool) -> None:
    source = BytesSource(b"")
    source.terminal = terminal
    async with Run(wasi, stdin=source) as run:
        assert await run.call("fd_fdstat_get", 0, OUT) == 0
        kind, flags, base, inheriting = struct.unpack("<BxH4xQQ", run.memory.read(OUT, 24))
        assert (kind, flags, base, inheriting) == (2 if terminal else 0, 0, 2, 2)
        for fd in (1, 2):
            assert await run.call("fd_fdstat_get", fd, OUT) == 0
            assert struct.unpack("<BxH4xQQ", run.memory.read(OUT, 24)) == (0, 0, 64, 64)
        run.memory.write(OUT, b"\xff" * 64)
        assert await run.call("fd_filestat_get", 0, OUT) == 0
        stat = run.memory.read(OUT, 64)
        assert stat == bytes(16) + bytes([2 if terminal else 0]) + bytes(47)
        for name in ("fd_fdstat_get", "fd_filestat_get"):
            assert await run.call(name, 3, OUT) == BADF
            assert await run.call(name, 0, SIZE - 20) == FAULT


async def test_closing(wasi: Program) -> None:
    sink = SlowSink()
    async with Run(wasi, stdin=b"hello", stdout=sink) as run:
        assert await run.call("fd_close", 0) == 0
        assert await run.call("fd_read", 0, *vectors(run, (BUFFER, 5)), OUT) == BADF
        assert await run.call("fd_close", 1) == 0
        assert sink.closed == 1
        assert await write(run, 1, b"hello") == BADF
        assert await run.call("fd_fdstat_get", 1, OUT) == BADF
        for fd in (0, 1, 7):
            assert await run.call("fd_close", fd) == BADF
        assert await write(run, 2, b"still here") == 0


async def test_renumbering(wasi: Program) -> None:
    sink = SlowSink(later=False)
    async with Run(wasi, stdin=b"hello", stdout=sink) as run:
        assert await run.call("fd_renumber", 2, 1) == 0
        assert sink.closed == 1
        assert await write(run, 1, b"to stderr") == 0
        assert run.stderr.value == b"to stderr"
        assert await write(run, 2, b"x") == BADF
        assert await run.call("fd_renumber", 1, 1) == 0
        for source, target in ((2, 1), (1, 2), (9, 1), (0, 9)):
            assert await run.call("fd_renumber", source, target) == BADF
        assert await run.call("fd_renumber", 0, 1) == 0
        assert await run.call("fd_read", 1, *vectors(run, (BUFFER, 5)), OUT) == 0
        assert run.memory.read(BUFFER, 5) == b"hello"


ABSENT = {
    BADF: (
        "fd_advise fd_allocate fd_datasync fd_fdstat_set_flags fd_fdstat_set_rights fd_filestat_set_size "
        "fd_filestat_set_times fd_prestat_get fd_readdir fd_sync path_create_directory path_filestat_get "
        "path_filestat_set_times path_link path_open path_readlink path_remove_directory path_rename "
        "path_symlink path_unlink_file"
    ),
    SPIPE: "fd_pread fd_pwrite fd_seek fd_tell",
    NOTSOCK: "sock_accept sock_recv sock_send sock_shutdown",
    NOTDIR: "fd_prestat_dir_name",
}


@pytest.mark.parametrize(("errno", "names"), ABSENT.items())
async def test_there_are_no_files_and_no_sockets(wasi: Program, errno: int, names: str) -> None:
    async with Run(wasi) as run:
        for name in names.split():
            rest = (0,) * (len(preview1.wasi[name].parameters) - 1)
            for fd in (0, 1, 2):
                assert await run.call(name, fd, *rest) == errno, name
            for fd in (3, 2**32 - 1):
                assert await run.call(name, fd, *rest) == BADF, name


async def test_a_guest_without_memory_gets_a_fault(engine: object) -> None:
    from support.guests import door, load

    program = load(engine, door(preview1.wasi, memory=""))  # type: ignore[arg-type]
    async with Run(program, stdin=b"hello") as run:
        for name in (
            "args_sizes_get",
            "fd_write",
            "fd_read",
            "random_get",
            "clock_time_get",
            "fd_fdstat_get",
        ):
            values = [1] * len(preview1.wasi[name].parameters)
            values[0] = 0 if name == "fd_read" else 1
            assert await run.call(name, *values) == FAULT, name


numbers = st.one_of(
    st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2, 3, SIZE - 1, SIZE, SIZE - 8, 2**31, 2**32 - 1])
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(st.data())
def test_any_arguments_are_answered(wasi: Program, data: st.DataObject) -> None:
    """No call with any values does anything but answer a known errno."""

    async def calls() -> None:
        async with Run(wasi, stdin=b"hello" * 100, args=["a"], env={"B": "c"}) as run:
            for _ in range(20):
                host = data.draw(st.sampled_from(NAMES))
                values = [data.draw(numbers) for _ in preview1.wasi[host].parameters]
                assert await run.call(host, *values) in KNOWN, host

    asyncio.run(calls())


NAMES = sorted({host.name for host in preview1.wasi} - {"proc_exit", "poll_oneoff"})
KNOWN = {0, BADF, FAULT, INVAL, NOTDIR, NOTSOCK, NOTSUP, SPIPE}
