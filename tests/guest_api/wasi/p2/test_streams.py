"""Streams over sources and sinks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.p2 import SlowSink, SlowSource
from wasmind.component.abi.values import Err
from wasmind.errors import BodyTimeout, GuestTrap
from wasmind.guest_api.stdio import BytesSink, BytesSource
from wasmind.guest_api.wasi.p2.streams import (
    CHUNK,
    CLOSED,
    ROOM,
    InputStream,
    IoError,
    OutputStream,
    StreamFailure,
)


def detail(answer: Any) -> IoError:
    assert isinstance(answer, Err)
    assert answer.value[0] == "last-operation-failed"
    found: IoError = answer.value[1]
    return found


def test_bytes_then_the_end() -> None:
    stream = InputStream(BytesSource(b"hello"))
    assert bytes(stream.take(3)) == b"hel"
    assert bytes(stream.take(100)) == b"lo"
    assert stream.take(1) is CLOSED
    assert stream.take(1) is CLOSED
    assert stream.ready


def test_no_bytes_are_asked_for() -> None:
    stream = InputStream(BytesSource(b""))
    assert stream.take(0) == b""
    assert stream.take(1) is CLOSED
    assert stream.take(0) is CLOSED


def test_one_read_is_bounded() -> None:
    stream = InputStream(BytesSource(bytes(CHUNK + 5)))
    assert len(stream.take(2**64 - 1)) == CHUNK
    assert len(stream.take(2**64 - 1)) == 5


async def test_waiting_for_bytes() -> None:
    source = SlowSource()
    stream = InputStream(source)
    assert stream.take(5) is None
    assert not stream.ready
    waiting = asyncio.ensure_future(stream.take_later(5))
    await asyncio.sleep(0.001)
    source.put(b"now")
    assert await waiting == b"now"
    waiting = asyncio.ensure_future(stream.take_later(5))
    await asyncio.sleep(0)
    source.end()
    assert await waiting is CLOSED


async def test_a_wait_that_is_given_up_loses_nothing() -> None:
    source = SlowSource()
    stream = InputStream(source)
    for _ in range(3):
        waiting = asyncio.ensure_future(stream.wait())
        await asyncio.sleep(0)
        waiting.cancel()
    assert source.waits == 1
    source.put(b"kept")
    assert await stream.take_later(9) == b"kept"
    assert source.waits == 1


async def test_a_failure_is_told_once_then_the_stream_is_closed() -> None:
    source = SlowSource()
    stream = InputStream(source)
    source.fail(StreamFailure("the peer is gone", "connection-terminated"))
    error = detail(await stream.take_later(1))
    assert (error.text, error.detail) == ("the peer is gone", "connection-terminated")
    assert stream.take(1) is CLOSED


async def test_what_ends_the_guest_is_no_error_of_the_stream() -> None:
    source = SlowSource()
    stream = InputStream(source)
    source.fail(BodyTimeout("too slow"))
    with pytest.raises(BodyTimeout):
        await stream.take_later(1)


async def test_dropping_a_stream_ends_its_wait() -> None:
    source = SlowSource()
    stream = InputStream(source)
    waiting = asyncio.ensure_future(stream.wait())
    await asyncio.sleep(0)
    stream.close()
    await waiting
    assert stream.dropped
    assert stream.take(1) is CLOSED


def test_writing_to_a_quick_sink() -> None:
    sink = BytesSink()
    stream = OutputStream(sink)
    assert stream.room() == ROOM
    assert stream.write(b"one ") is None
    assert stream.write(b"two") is None
    assert stream.flush() is None
    assert sink.value == b"one two"
    assert stream.ready


async def test_no_room_while_the_reader_is_slow() -> None:
    sink = SlowSink()
    stream = OutputStream(sink)
    assert stream.write(b"x") is None
    assert stream.room() == 0
    assert not stream.ready
    with pytest.raises(GuestTrap, match="wrote 1 bytes") as caught:
        stream.write(b"y")
    assert caught.value.cause == "the stream had room for 0"
    draining = asyncio.ensure_future(stream.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    sink.release()
    assert await draining is None
    assert stream.room() == ROOM


def test_more_than_there_is_room_for() -> None:
    with pytest.raises(GuestTrap, match=f"wrote {ROOM + 1} bytes"):
        OutputStream(BytesSink()).write(bytes(ROOM + 1))


async def test_a_write_that_fails_later() -> None:
    sink = SlowSink()
    sink.error = BrokenPipeError("nobody reads")
    stream = OutputStream(sink)
    assert stream.write(b"x") is None
    sink.release()
    assert detail(await stream.drain()).text == "nobody reads"
    assert stream.room() is CLOSED
    assert stream.write(b"y") is CLOSED
    assert stream.flush() is CLOSED


async def test_a_write_that_fails_at_once() -> None:
    sink = SlowSink()
    sink.error = StreamFailure("too long", ("HTTP-response-body-size", 7))
    sink.release()
    stream = OutputStream(sink)
    assert detail(stream.write(b"x")).detail == ("HTTP-response-body-size", 7)
    assert stream.room() is CLOSED


async def test_a_guest_that_is_gone_waits_for_nothing() -> None:
    source, sink = SlowSource(), SlowSink()
    incoming, outgoing = InputStream(source), OutputStream(sink)
    reading = asyncio.ensure_future(incoming.wait())
    outgoing.write(b"x")
    await asyncio.sleep(0)
    incoming.abandon()
    outgoing.abandon()
    await reading
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1
    assert incoming.dropped
    assert outgoing.dropped


async def test_a_failure_nobody_asks_for_is_not_left_lying_about() -> None:
    sink = SlowSink()
    sink.error = BrokenPipeError("nobody reads")
    stream = OutputStream(sink)
    stream.write(b"x")
    stream.close()
    sink.release()
    await asyncio.sleep(0.001)
    assert stream.dropped
