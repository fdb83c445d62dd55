"""wasi:io's functions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.p2 import P2Guest, SlowSink, SlowSource
from wasmind.component.abi.values import Err
from wasmind.errors import GuestTrap, LimitExceeded
from wasmind.guest_api.stdio import BytesSink, BytesSource
from wasmind.guest_api.wasi.p2 import io
from wasmind.guest_api.wasi.p2.pollable import Always, Timer
from wasmind.guest_api.wasi.p2.streams import CLOSED, ROOM, InputStream, IoError, OutputStream
from wasmind.guest_api.wasi.poll import monotonic


def guest() -> Any:
    return P2Guest()


async def answer(value: Any) -> Any:
    return await value if hasattr(value, "__await__") else value


def test_errors_have_words() -> None:
    assert io.to_debug_string(guest(), IoError("what happened")) == "what happened"


async def test_poll() -> None:
    made = guest()
    assert io.poll_any(made, [Timer(2**63), Always()]) == [1]
    assert made.waited == 0
    found = io.poll_any(made, [Timer(2**63), Timer(monotonic() + 1_000_000)])
    assert await answer(found) == [1]
    assert made.waited == 1


def test_poll_of_nothing_and_of_too_much() -> None:
    with pytest.raises(GuestTrap, match="empty list"):
        io.poll_any(guest(), [])
    with pytest.raises(LimitExceeded, match="4097"):
        io.poll_any(guest(), [Always()] * (io.MAX_POLLABLES + 1))


async def test_block() -> None:
    made = guest()
    assert io.block(made, Always()) is None
    assert made.waited == 0
    await answer(io.block(made, Timer(monotonic() + 1_000_000)))
    assert made.waited == 1
    assert io.ready(made, Always()) is True


async def test_read_never_waits_and_blocking_read_does() -> None:
    made, source = guest(), SlowSource()
    stream = InputStream(source)
    assert io.read(made, stream, 10) == b""
    waiting = asyncio.ensure_future(answer(io.blocking_read(made, stream, 10)))
    await asyncio.sleep(0)
    source.put(b"abc")
    assert await waiting == b"abc"
    source.put(b"defg")
    assert io.blocking_read(made, stream, 2) == b"de"
    assert io.skip(made, stream, 9) == 2
    assert io.skip(made, stream, 9) == 0
    source.put(b"hi")
    assert await io.blocking_skip(made, stream, 9) == 2
    source.end()
    assert io.read(made, stream, 9) is CLOSED
    assert io.skip(made, stream, 9) is CLOSED
    assert await io.blocking_skip(made, stream, 9) is CLOSED


async def test_subscribing_to_input() -> None:
    made, source = guest(), SlowSource()
    pollable = io.subscribe_input(made, InputStream(source))
    assert not pollable.ready
    waiting = asyncio.ensure_future(answer(io.poll_any(made, [Timer(2**63), pollable])))
    await asyncio.sleep(0.001)
    source.put(b"x")
    assert await waiting == [1]


async def test_writing() -> None:
    made, sink = guest(), BytesSink()
    stream = OutputStream(sink)
    assert io.check_write(made, stream) == ROOM
    assert io.write(made, stream, b"one") is None
    assert io.flush(made, stream) is None
    assert io.blocking_flush(made, stream) is None
    assert io.blocking_write_and_flush(made, stream, b" two") is None
    assert io.write_zeroes(made, stream, 2) is None
    assert io.blocking_write_zeroes_and_flush(made, stream, 1) is None
    assert sink.value == b"one two\0\0\0"
    assert io.subscribe_output(made, stream).ready


async def test_blocking_writes_wait_for_a_slow_reader() -> None:
    made, sink = guest(), SlowSink()
    stream = OutputStream(sink)
    waiting = asyncio.ensure_future(answer(io.blocking_write_and_flush(made, stream, b"one")))
    await asyncio.sleep(0)
    assert not waiting.done()
    pollable = io.subscribe_output(made, stream)
    assert not pollable.ready
    second = asyncio.ensure_future(answer(io.blocking_write_and_flush(made, stream, b"two")))
    await asyncio.sleep(0)
    sink.release()
    assert await waiting is None
    assert await second is None
    assert await answer(io.blocking_flush(made, stream)) is None
    assert pollable.ready
    assert sink.written == [b"one", b"two"]


@pytest.mark.parametrize("size", [4097, 1 << 20])
def test_blocking_writes_are_small(size: int) -> None:
    stream = OutputStream(BytesSink())
    with pytest.raises(GuestTrap, match=f"blocking write of {size} bytes"):
        io.blocking_write_and_flush(guest(), stream, bytes(size))
    with pytest.raises(GuestTrap, match=f"blocking write of {size} bytes"):
        io.blocking_write_zeroes_and_flush(guest(), stream, size)


def test_zeroes_beyond_all_measure_are_never_made() -> None:
    with pytest.raises(GuestTrap, match="zeroes"):
        io.write_zeroes(guest(), OutputStream(BytesSink()), 2**64 - 1)


async def test_splicing() -> None:
    made, sink, source = guest(), BytesSink(), SlowSource()
    target, origin = OutputStream(sink), InputStream(source)
    assert io.splice(made, target, origin, 10) == 0
    source.put(b"abcdef")
    assert io.splice(made, target, origin, 4) == 4
    assert await io.blocking_splice(made, target, origin, 10) == 2
    waiting = asyncio.ensure_future(io.blocking_splice(made, target, origin, 10))
    await asyncio.sleep(0)
    source.end()
    assert await waiting is CLOSED
    assert io.splice(made, target, origin, 10) is CLOSED
    assert sink.value == b"abcdef"


async def test_splicing_into_what_is_full_or_closed() -> None:
    made, sink = guest(), SlowSink()
    target = OutputStream(sink)
    target.write(b"x")
    assert io.splice(made, target, InputStream(BytesSource(b"abc")), 3) == 0
    sink.release()
    target.close()
    assert io.splice(made, target, InputStream(BytesSource(b"abc")), 3) is CLOSED
    assert isinstance(await io.blocking_splice(made, target, InputStream(BytesSource(b"abc")), 3), Err)


def test_dropping_closes() -> None:
    streams = (InputStream(BytesSource(b"abc")), OutputStream(BytesSink()))
    for stream, name in zip(streams, ("input-stream", "output-stream"), strict=True):
        drop = io.streams.resources[name]
        assert drop is not None
        drop(guest(), stream)
        assert stream.dropped
