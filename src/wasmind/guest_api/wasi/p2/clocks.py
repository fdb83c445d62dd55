"""`wasi:clocks` 0.2."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from wasmind.component.interface import WitInterface
from wasmind.component.types import Field, Own, Primitive, Record
from wasmind.guest_api.wasi.p2.io import POLLABLE
from wasmind.guest_api.wasi.p2.pollable import Pollable, Timer
from wasmind.guest_api.wasi.poll import monotonic

if TYPE_CHECKING:
    from wasmind.guest_api.wasi.p2.host import ComponentHost
    from wasmind.sandbox import Guest

_U64 = Primitive.U64

monotonic_clock = WitInterface("wasi:clocks/monotonic-clock@0.2.12")


@monotonic_clock.function("now", result=_U64)
def now(_guest: Guest[ComponentHost]) -> int:
    """Nanoseconds since a moment in the past."""
    return monotonic()


@monotonic_clock.function("resolution", result=_U64)
def resolution(_guest: Guest[ComponentHost]) -> int:
    """The smallest step, in nanoseconds."""
    return 1


@monotonic_clock.function("subscribe-instant", {"when": _U64}, Own(POLLABLE))
def subscribe_instant(_guest: Guest[ComponentHost], when: int) -> Pollable:
    """Make a pollable that is ready at a time."""
    return Timer(when)


@monotonic_clock.function("subscribe-duration", {"when": _U64}, Own(POLLABLE))
def subscribe_duration(_guest: Guest[ComponentHost], when: int) -> Pollable:
    """Make a pollable that is ready after a time."""
    return Timer(monotonic() + when)


wall_clock = WitInterface("wasi:clocks/wall-clock@0.2.12")
DATETIME = Record((Field("seconds", _U64), Field("nanoseconds", Primitive.U32)))


@wall_clock.function("now", result=DATETIME)
def wall_now(_guest: Guest[ComponentHost]) -> tuple[int, int]:
    """Seconds and nanoseconds since 1970-01-01T00:00:00Z."""
    return divmod(time.time_ns(), 1_000_000_000)


@wall_clock.function("resolution", result=DATETIME)
def wall_resolution(_guest: Guest[ComponentHost]) -> tuple[int, int]:
    """The smallest step."""
    return 0, 1
