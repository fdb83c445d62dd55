"""`poll_oneoff`: waiting for times and streams suspends the guest, never its host."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from wasmind.guest_api.wasi.errno import BADF, INVAL, SUCCESS

if TYPE_CHECKING:
    from wasmind.guest_api.host import CommandHost
    from wasmind.guest_api.stdio import Source
    from wasmind.guest_api.wasi.state import Wasi
    from wasmind.sandbox import Guest

REALTIME, MONOTONIC = 0, 1
MAX_SUBSCRIPTIONS = 1024

_CLOCK, _FD_READ, _FD_WRITE = 0, 1, 2
_ABSOLUTE = 1
_SIZE = 48
_SUBSCRIPTION = Struct("<QB7x32s")  # userdata, tag, and what the tag says
_TIMER = Struct("<I4xQQH6x")  # clock, timeout, precision, flags
_FD = Struct("<I28x")
_EVENT = Struct("<QHB5xQH6x")  # userdata, error, type, bytes, flags

_began = time.monotonic_ns()


def monotonic() -> int:
    """Nanoseconds since this process began: guests learn nothing of the machine."""
    return time.monotonic_ns() - _began


class Event(NamedTuple):
    """Something that happened."""

    userdata: int
    error: int
    kind: int
    size: int = 0


class Timer(NamedTuple):
    """A time to wait for, by the monotonic clock."""

    userdata: int
    due: int


class Readable(NamedTuple):
    """A stream to wait for."""

    userdata: int
    source: Source


def poll(
    guest: Guest[CommandHost], subscriptions: int, events: int, count: int, out: int
) -> int | Awaitable[int]:
    """Write the events that are there, or wait for the first. Raises MemoryFault."""
    if not 0 < count <= MAX_SUBSCRIPTIONS:
        return INVAL
    memory = guest.memory
    memory.view(out, 4)
    memory.view(events, _EVENT.size * count)
    found: list[Event] = []
    timers: list[Timer] = []
    streams: list[Readable] = []
    for at in range(count):
        wanted = _wanted(guest.host.wasi, memory.unpack(_SUBSCRIPTION, subscriptions + _SIZE * at))
        if isinstance(wanted, Event):
            found.append(wanted)
        elif isinstance(wanted, Timer):
            timers.append(wanted)
        else:
            streams.append(wanted)
    if not found:
        found = _due(timers)
    if found:
        return _answer(guest, found, events, out)
    guest.host.about_to_wait()
    return _later(guest, timers, streams, events, out)


def _wanted(wasi: Wasi, record: tuple[int, int, bytes]) -> Event | Timer | Readable:
    """Read one subscription: what it waits for, or what is known about it at once."""
    userdata, kind, rest = record
    if kind == _CLOCK:
        clock, timeout, _, flags = _TIMER.unpack(rest)
        if clock not in (REALTIME, MONOTONIC):
            return Event(userdata, INVAL, kind)
        now = monotonic()
        if not flags & _ABSOLUTE:
            return Timer(userdata, now + timeout)
        return Timer(userdata, timeout if clock == MONOTONIC else now + timeout - time.time_ns())
    (fd,) = _FD.unpack(rest)
    if kind == _FD_WRITE:
        return Event(userdata, SUCCESS if fd in wasi.sinks else BADF, kind, 1)
    if kind != _FD_READ:
        return Event(userdata, INVAL, kind)
    source = wasi.sources.get(fd)
    if source is None:
        return Event(userdata, BADF, kind)
    return Event(userdata, SUCCESS, kind, 1) if source.ready else Readable(userdata, source)


def _due(timers: list[Timer]) -> list[Event]:
    now = monotonic()
    return [Event(timer.userdata, SUCCESS, _CLOCK) for timer in timers if timer.due <= now]


def _answer(guest: Guest[CommandHost], found: list[Event], events: int, out: int) -> int:
    memory = guest.memory
    for at, event in enumerate(found):
        memory.pack(_EVENT, events + _EVENT.size * at, event.userdata, event.error, event.kind, event.size, 0)
    memory.set_u32(out, len(found))
    return SUCCESS


async def _later(
    guest: Guest[CommandHost], timers: list[Timer], streams: list[Readable], events: int, out: int
) -> int:
    found: list[Event] = []
    while not found:
        seconds = max(0, min(timer.due for timer in timers) - monotonic()) / 1e9 if timers else None
        if streams:  # a guest has one stream to read from
            await guest.host.wasi.readable_within(streams[0].source, seconds)
        else:
            assert seconds is not None  # nothing else was subscribed to
            await asyncio.sleep(min(seconds, 86_400.0))
        found = [Event(item.userdata, SUCCESS, _FD_READ, 1) for item in streams if item.source.ready]
        found += _due(timers)
    return _answer(guest, found, events, out)
