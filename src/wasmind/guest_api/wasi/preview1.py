"""`wasi_snapshot_preview1` as a serverless platform offers it: arguments, environment, clocks, randomness,
and the standard streams; no files, no sockets.

Every pointer is checked, and one outside the guest's memory is answered with `fault`. What is answered for
absent things is what wasmtime answers (crates/wasi/src/p1.rs). Reading waits only when no byte is at hand,
and writing only when its reader is a window behind.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Sequence
from itertools import accumulate
from struct import Struct, pack
from typing import TYPE_CHECKING

from wasmind.guest_api.wasi import absent, poll
from wasmind.guest_api.wasi.errno import BADF, FAULT, INVAL, IO, PIPE, SUCCESS
from wasmind.sandbox import U32, U64, Interface

if TYPE_CHECKING:
    from wasmind.guest_api.host import CommandHost
    from wasmind.guest_api.stdio import Sink, Source
    from wasmind.nn.tensor import Buffer
    from wasmind.sandbox import Guest, Memory

MAX_VECTORS = 1024
"""Buffers of one read or write (POSIX's IOV_MAX)."""
CHUNK = 64 << 10
"""Bytes that are copied at a time."""
MAX_RANDOM = 1 << 20
"""Random bytes of one call: more would hold up the loop."""

_CHARACTER_DEVICE, _UNKNOWN = 2, 0
_RIGHT_READ, _RIGHT_WRITE = 1 << 1, 1 << 6
_FDSTAT = Struct("<BxH4xQQ")
_FILESTAT = Struct("<16xB47x")
_VECTOR = Struct("<II")

wasi = Interface("wasi_snapshot_preview1", on_fault=FAULT)

# --- arguments and environment ----------------------------------------------------------------------------


@wasi.function("args_sizes_get")
def args_sizes_get(guest: Guest[CommandHost], count: U32, size: U32) -> U32:
    """Tell how many arguments there are, and their bytes."""
    return _sizes(guest.memory, guest.host.wasi.arguments, count, size)


@wasi.function("args_get")
def args_get(guest: Guest[CommandHost], pointers: U32, buffer: U32) -> U32:
    """Write the arguments."""
    return _strings(guest.memory, guest.host.wasi.arguments, pointers, buffer)


@wasi.function("environ_sizes_get")
def environ_sizes_get(guest: Guest[CommandHost], count: U32, size: U32) -> U32:
    """Tell how many variables there are, and their bytes."""
    return _sizes(guest.memory, guest.host.wasi.environ, count, size)


@wasi.function("environ_get")
def environ_get(guest: Guest[CommandHost], pointers: U32, buffer: U32) -> U32:
    """Write the variables."""
    return _strings(guest.memory, guest.host.wasi.environ, pointers, buffer)


def _sizes(memory: Memory, strings: Sequence[bytes], count: int, size: int) -> int:
    memory.set_u32(count, len(strings))
    memory.set_u32(size, sum(map(len, strings)) + len(strings))
    return SUCCESS


def _strings(memory: Memory, strings: Sequence[bytes], pointers: int, buffer: int) -> int:
    if strings:
        memory.write(buffer, b"\0".join(strings) + b"\0")
        offsets = accumulate((len(string) + 1 for string in strings[:-1]), initial=buffer)
        memory.write(pointers, pack(f"<{len(strings)}I", *offsets))
    return SUCCESS


# --- clocks, randomness, the end --------------------------------------------------------------------------


@wasi.function("clock_res_get")
def clock_res_get(guest: Guest[CommandHost], clock: U32, out: U32) -> U32:
    """Tell a clock's resolution in nanoseconds."""
    if clock not in (poll.REALTIME, poll.MONOTONIC):
        return BADF if clock in (2, 3) else INVAL
    guest.memory.set_u64(out, 1)
    return SUCCESS


@wasi.function("clock_time_get")
def clock_time_get(guest: Guest[CommandHost], clock: U32, _precision: U64, out: U32) -> U32:
    """Tell the time in nanoseconds; CPU clocks are not offered."""
    if clock == poll.MONOTONIC:
        now = poll.monotonic()
    elif clock == poll.REALTIME:
        now = time.time_ns()
    else:
        return BADF if clock in (2, 3) else INVAL
    guest.memory.set_u64(out, now)
    return SUCCESS


@wasi.function("random_get")
def random_get(guest: Guest[CommandHost], buffer: U32, length: U32) -> U32:
    """Fill a buffer from the system's cryptographic source."""
    memory = guest.memory
    memory.view(buffer, length)
    if length > MAX_RANDOM:
        return INVAL
    memory.write(buffer, os.urandom(length))
    return SUCCESS


@wasi.function("sched_yield")
def sched_yield(_guest: Guest[CommandHost]) -> U32:
    """Go on at once: the loop takes its turns by itself."""
    return SUCCESS


@wasi.function("proc_exit")
def proc_exit(guest: Guest[CommandHost], code: U32) -> None:
    """End the guest."""
    guest.exit(code)


# --- streams ----------------------------------------------------------------------------------------------


@wasi.function("fd_read", suspends=True)
def fd_read(guest: Guest[CommandHost], fd: U32, vectors: U32, count: U32, out: U32) -> U32 | Awaitable[U32]:
    """Read what is at hand, at least one byte unless the stream has ended; wait only when there is none."""
    source = guest.host.wasi.sources.get(fd)
    if source is None:
        return BADF
    memory = guest.memory
    memory.view(out, 4)
    buffers = _buffers(memory, vectors, count)
    if buffers is None:
        return INVAL
    room = sum(map(len, buffers))
    try:
        data = source.take(room) if room else b""
    except OSError:
        return IO
    if data is None:
        guest.host.about_to_wait()
        return _read_later(guest, source, vectors, count, out)
    return _scatter(memory, data, buffers, out)


async def _read_later(guest: Guest[CommandHost], source: Source, vectors: int, count: int, out: int) -> int:
    memory = guest.memory
    room = sum(length for _, length in _spans(memory, vectors, count))
    data: Buffer | None = None
    try:
        while data is None:
            await guest.host.wasi.readable(source)
            data = source.take(room)
    except OSError:
        return IO
    return _scatter(memory, data, [memory.view(*span) for span in _spans(memory, vectors, count)], out)


def _scatter(memory: Memory, data: Buffer, buffers: list[memoryview], out: int) -> int:
    size = len(data)
    memory.set_u32(out, size)
    start = 0
    for buffer in buffers:
        if start >= size:
            break
        part = data[start : start + len(buffer)]
        buffer[: len(part)] = part
        start += len(part)
    return SUCCESS


@wasi.function("fd_write", suspends=True)
def fd_write(guest: Guest[CommandHost], fd: U32, vectors: U32, count: U32, out: U32) -> U32 | Awaitable[U32]:
    """Write all of the buffers; wait only while the reader is a window behind."""
    sink = guest.host.wasi.sinks.get(fd)
    if sink is None:
        return BADF
    if count > MAX_VECTORS:
        return INVAL
    memory = guest.memory
    data = memory.gather(vectors, count, CHUNK)
    if data is None:
        spans = _spans(memory, vectors, count)
        memory.set_u32(out, sum(length for _, length in spans))
        return _write_long(memory, sink, spans)
    memory.set_u32(out, len(data))
    try:
        waiting = sink.write(data)
    except OSError as error:
        return _write_error(error)
    return SUCCESS if waiting is None else _written(waiting)


async def _written(waiting: Awaitable[None]) -> int:
    try:
        await waiting
    except OSError as error:
        return _write_error(error)
    return SUCCESS


async def _write_long(memory: Memory, sink: Sink, spans: list[tuple[int, int]]) -> int:
    """Write piece by piece, so that no more than a window is ever copied; what the guest wrote stays
    meanwhile.
    """
    try:
        for pointer, length in spans:
            for start in range(0, length, CHUNK):
                waiting = sink.write(memory.read(pointer + start, min(CHUNK, length - start)))
                if waiting is not None:
                    await waiting
    except OSError as error:
        return _write_error(error)
    return SUCCESS


def _write_error(error: OSError) -> int:
    return PIPE if isinstance(error, BrokenPipeError) else IO


def _buffers(memory: Memory, vectors: int, count: int) -> list[memoryview] | None:
    """The buffers of a call, each wholly inside memory; None when they are too many. Raises MemoryFault."""
    view = memory.view
    if count == 1:  # nearly always
        pointer, length = memory.unpack(_VECTOR, vectors)
        return [view(pointer, length)]
    if count > MAX_VECTORS:
        return None
    return [view(pointer, length) for pointer, length in _spans(memory, vectors, count)]


def _spans(memory: Memory, vectors: int, count: int) -> list[tuple[int, int]]:
    """Read the pointers and lengths of buffers. Raises MemoryFault."""
    words = memory.u32s(vectors, 2 * count)
    return list(zip(words[::2], words[1::2], strict=True))


@wasi.function("fd_close", suspends=True)
def fd_close(guest: Guest[CommandHost], fd: U32) -> U32 | Awaitable[U32]:
    """Close a stream. The end of stdout is the end of a response."""
    wasi_state = guest.host.wasi
    if wasi_state.sources.pop(fd, None) is not None:
        return SUCCESS
    sink = wasi_state.sinks.pop(fd, None)
    if sink is None:
        return BADF
    if sink in wasi_state.sinks.values():
        return SUCCESS
    waiting = sink.close()
    return SUCCESS if waiting is None else _written(waiting)


@wasi.function("fd_renumber", suspends=True)
def fd_renumber(guest: Guest[CommandHost], source: U32, target: U32) -> U32 | Awaitable[U32]:
    """Move an open descriptor onto another open one, which is closed."""
    state = guest.host.wasi
    if not state.is_open(source) or not state.is_open(target):
        return BADF
    if source == target:
        return SUCCESS
    closed = fd_close(guest, target)
    if source in state.sources:
        state.sources[target] = state.sources.pop(source)
    else:
        state.sinks[target] = state.sinks.pop(source)
    return closed


@wasi.function("fd_fdstat_get")
def fd_fdstat_get(guest: Guest[CommandHost], fd: U32, out: U32) -> U32:
    """Tell whether a stream is a terminal, and which way it goes."""
    state = guest.host.wasi
    stream = state.sources.get(fd) or state.sinks.get(fd)
    if stream is None:
        return BADF
    rights = _RIGHT_READ if fd in state.sources else _RIGHT_WRITE
    guest.memory.pack(_FDSTAT, out, _CHARACTER_DEVICE if stream.terminal else _UNKNOWN, 0, rights, rights)
    return SUCCESS


@wasi.function("fd_filestat_get")
def fd_filestat_get(guest: Guest[CommandHost], fd: U32, out: U32) -> U32:
    """Tell a stream's kind; it has no size and no times."""
    state = guest.host.wasi
    stream = state.sources.get(fd) or state.sinks.get(fd)
    if stream is None:
        return BADF
    guest.memory.pack(_FILESTAT, out, _CHARACTER_DEVICE if stream.terminal else _UNKNOWN)
    return SUCCESS


@wasi.function("poll_oneoff", suspends=True)
def poll_oneoff(
    guest: Guest[CommandHost], subscriptions: U32, events: U32, count: U32, out: U32
) -> U32 | Awaitable[U32]:
    """Wait for the first of some times and streams."""
    return poll.poll(guest, subscriptions, events, count, out)


absent.declare(wasi)
