"""`wasi:io` 0.2: errors, polling, streams."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from wasmind.component.abi.values import Err
from wasmind.component.interface import WitInterface
from wasmind.component.types import Borrow, Case, List, Own, Primitive, Result, Variant
from wasmind.errors import GuestTrap, LimitExceeded
from wasmind.guest_api.wasi.p2.pollable import Pollable, ready_ones, wait_any
from wasmind.guest_api.wasi.p2.streams import (
    ROOM,
    Failed,
    InputStream,
    IoError,
    OutputStream,
)

if TYPE_CHECKING:
    from wasmind.guest_api.wasi.p2.host import ComponentHost
    from wasmind.nn.tensor import Buffer
    from wasmind.sandbox import Guest

MAX_POLLABLES = 4096
"""Things one `poll` waits for."""
BLOCKING_WRITE = 4096
"""Bytes of one blocking-write-and-flush, and of one blocking-write-zeroes-and-flush (streams.wit)."""

_U64, _BYTES = Primitive.U64, List(Primitive.U8)

# --- error ------------------------------------------------------------------------------------------------

error = WitInterface("wasi:io/error@0.2.12")
ERROR = error.resource("error")


@error.method(ERROR, "to-debug-string", result=Primitive.STRING)
def to_debug_string(_guest: Guest[ComponentHost], failure: IoError) -> str:
    """Tell what happened, for people."""
    return failure.text


# --- poll -------------------------------------------------------------------------------------------------

poll = WitInterface("wasi:io/poll@0.2.12")
POLLABLE = poll.resource("pollable")


@poll.method(POLLABLE, "ready", result=Primitive.BOOL)
def ready(_guest: Guest[ComponentHost], pollable: Pollable) -> bool:
    """Whether it is ready now."""
    return pollable.ready


@poll.method(POLLABLE, "block", suspends=True)
def block(guest: Guest[ComponentHost], pollable: Pollable) -> Awaitable[None] | None:
    """Wait until it is ready."""
    if pollable.ready:
        return None
    guest.host.about_to_wait()
    return _block(pollable)


async def _block(pollable: Pollable) -> None:
    await wait_any((pollable,))


@poll.function("poll", {"in": List(Borrow(POLLABLE))}, List(Primitive.U32), suspends=True)
def poll_any(guest: Guest[ComponentHost], pollables: list[Pollable]) -> list[int] | Awaitable[list[int]]:
    """Wait until at least one is ready, and give the places of all that are."""
    if not pollables:
        raise GuestTrap("poll was called with an empty list", cause="nothing could ever become ready")
    if len(pollables) > MAX_POLLABLES:
        raise LimitExceeded(
            f"poll was called with {len(pollables)} pollables", cause=f"at most {MAX_POLLABLES}"
        )
    found = ready_ones(pollables)
    if found:
        return found
    guest.host.about_to_wait()
    return wait_any(pollables)


# --- streams ----------------------------------------------------------------------------------------------

streams = WitInterface("wasi:io/streams@0.2.12")
STREAM_ERROR = Variant((Case("last-operation-failed", Own(ERROR)), Case("closed")))
_DONE = Result(None, STREAM_ERROR)
_COUNT = Result(_U64, STREAM_ERROR)
_READ = Result(_BYTES, STREAM_ERROR)


def _close(_guest: Guest[ComponentHost], stream: InputStream | OutputStream) -> None:
    stream.close()


INPUT_STREAM = streams.resource("input-stream", _close)
OUTPUT_STREAM = streams.resource("output-stream", _close)


@streams.method(INPUT_STREAM, "read", {"len": _U64}, _READ)
def read(_guest: Guest[ComponentHost], stream: InputStream, length: int) -> Buffer | Failed:
    """Read what is at hand, maybe nothing."""
    data = stream.take(length)
    return b"" if data is None else data


@streams.method(INPUT_STREAM, "blocking-read", {"len": _U64}, _READ, suspends=True)
def blocking_read(
    guest: Guest[ComponentHost], stream: InputStream, length: int
) -> Buffer | Failed | Awaitable[Buffer | Failed]:
    """Read what is at hand, at least one byte."""
    data = stream.take(length)
    if data is not None:
        return data
    guest.host.about_to_wait()
    return stream.take_later(length)


@streams.method(INPUT_STREAM, "skip", {"len": _U64}, _COUNT)
def skip(_guest: Guest[ComponentHost], stream: InputStream, length: int) -> int | Failed:
    """Read what is at hand and drop it."""
    data = stream.take(length)
    return data if isinstance(data, Err) else 0 if data is None else len(data)


@streams.method(INPUT_STREAM, "blocking-skip", {"len": _U64}, _COUNT, suspends=True)
async def blocking_skip(guest: Guest[ComponentHost], stream: InputStream, length: int) -> int | Failed:
    """Read at least one byte and drop it."""
    guest.host.about_to_wait()
    data = await stream.take_later(length)
    return data if isinstance(data, Err) else len(data)


@streams.method(INPUT_STREAM, "subscribe", result=Own(POLLABLE))
def subscribe_input(_guest: Guest[ComponentHost], stream: InputStream) -> Pollable:
    """Make a pollable that is ready when there is something to read."""
    return stream


@streams.method(OUTPUT_STREAM, "check-write", result=_COUNT)
def check_write(_guest: Guest[ComponentHost], stream: OutputStream) -> int | Failed:
    """Bytes that may be written now."""
    return stream.room()


@streams.method(OUTPUT_STREAM, "write", {"contents": _BYTES}, _DONE)
def write(_guest: Guest[ComponentHost], stream: OutputStream, contents: bytes) -> Failed | None:
    """Write, no more than check-write permits."""
    return stream.write(contents)


@streams.method(OUTPUT_STREAM, "flush", result=_DONE)
def flush(_guest: Guest[ComponentHost], stream: OutputStream) -> Failed | None:
    """Begin to pass on what was written."""
    return stream.flush()


@streams.method(OUTPUT_STREAM, "blocking-flush", result=_DONE, suspends=True)
def blocking_flush(
    guest: Guest[ComponentHost], stream: OutputStream
) -> Failed | Awaitable[Failed | None] | None:
    """Pass on what was written, and wait for a slow reader."""
    if stream.ready:
        return stream.flush()
    guest.host.about_to_wait()
    return stream.drain()


@streams.method(OUTPUT_STREAM, "blocking-write-and-flush", {"contents": _BYTES}, _DONE, suspends=True)
def blocking_write_and_flush(
    guest: Guest[ComponentHost], stream: OutputStream, contents: bytes
) -> Failed | Awaitable[Failed | None] | None:
    """Write up to 4096 bytes and pass them on; wait only for a slow reader."""
    _check_blocking(len(contents))
    if not stream.ready:
        guest.host.about_to_wait()
        return _write_later(stream, contents)
    answer = stream.write(contents)
    return answer or _passed_on(stream)


def _passed_on(stream: OutputStream) -> Failed | Awaitable[Failed | None] | None:
    return stream.flush() if stream.ready else stream.drain()


async def _write_later(stream: OutputStream, contents: bytes) -> Failed | None:
    answer = await stream.drain() or stream.write(contents) or await stream.drain()
    return answer or stream.flush()


@streams.method(OUTPUT_STREAM, "subscribe", result=Own(POLLABLE))
def subscribe_output(_guest: Guest[ComponentHost], stream: OutputStream) -> Pollable:
    """Make a pollable that is ready when there is room to write."""
    return stream


@streams.method(OUTPUT_STREAM, "write-zeroes", {"len": _U64}, _DONE)
def write_zeroes(_guest: Guest[ComponentHost], stream: OutputStream, length: int) -> Failed | None:
    """Write zeroes, no more than check-write permits."""
    if length > ROOM:
        raise GuestTrap(f"the function wrote {length} zeroes", cause=f"a stream has room for {ROOM}")
    return stream.write(bytes(length))


@streams.method(OUTPUT_STREAM, "blocking-write-zeroes-and-flush", {"len": _U64}, _DONE, suspends=True)
def blocking_write_zeroes_and_flush(
    guest: Guest[ComponentHost], stream: OutputStream, length: int
) -> Failed | Awaitable[Failed | None] | None:
    """Write up to 4096 zeroes and pass them on."""
    _check_blocking(length)
    return blocking_write_and_flush(guest, stream, bytes(length))


@streams.method(OUTPUT_STREAM, "splice", {"src": Borrow(INPUT_STREAM), "len": _U64}, _COUNT)
def splice(
    _guest: Guest[ComponentHost], stream: OutputStream, source: InputStream, length: int
) -> int | Failed:
    """Pass on what is at hand of another stream."""
    room = stream.room()
    if isinstance(room, Err) or not room:
        return room
    data = source.take(min(length, room))
    if data is None or isinstance(data, Err):
        return 0 if data is None else data
    return stream.write(bytes(data)) or len(data)


@streams.method(
    OUTPUT_STREAM, "blocking-splice", {"src": Borrow(INPUT_STREAM), "len": _U64}, _COUNT, suspends=True
)
async def blocking_splice(
    guest: Guest[ComponentHost], stream: OutputStream, source: InputStream, length: int
) -> int | Failed:
    """Pass on at least one byte of another stream."""
    guest.host.about_to_wait()
    answer = await stream.drain()
    if answer is not None:
        return answer
    data = await source.take_later(min(length, ROOM))
    if isinstance(data, Err):
        return data
    return stream.write(bytes(data)) or len(data)


def _check_blocking(length: int) -> None:
    if length > BLOCKING_WRITE:
        raise GuestTrap(
            f"a blocking write of {length} bytes", cause=f"wasi:io/streams allows {BLOCKING_WRITE} at a time"
        )
