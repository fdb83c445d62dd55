"""The thread that ticks: it raises the engine's epoch so that a guest which does not stop by itself is
stopped.

A thread that wakes wants the interpreter's lock, and takes it from the thread that serves: looking in a
thousand times a second would cost a busy worker a fifth of its requests. So it waits for an alarm, which the
polls of guests put off now and then. That goes off where one poll goes on for long, and then the thread
ticks; or where nothing was polled for a while, and then it is in nobody's way.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from wasmind.sandbox.alarm import Alarm

if TYPE_CHECKING:
    from collections.abc import Callable

_LOOK_TICKS: Final = 4
"""How many ticks after it was put off the alarm goes off."""
_MOST_DUE_NS: Final = 2_000_000
"""The longest time between two times that it is put off."""
_LOOKS: Final = 50
"""How many more ticks there are after one that found a guest running for long."""


class Ticker:
    """Ticks for one engine.

    Whoever polls guests sets `polling` meanwhile, and calls `put_off` before a poll that begins after `due`;
    the guest that a tick finds running for long says so by `again`.
    """

    def __init__(self, tick_s: float, tick: Callable[[], None]) -> None:
        self.tick_s = tick_s
        self.polling = False
        self.due = 0
        """When the alarm is to be put off again, by `time.perf_counter_ns`."""
        self.look_ns = 0
        """A poll that has gone on for so long, or for half of it, is ticked."""
        self._put_off_ns = 0
        self._looks = 0
        self._tick = tick
        self._alarm: Alarm | None = None
        self._closed = False
        self._thread: threading.Thread | None = None
        self._look_after(int(_LOOK_TICKS * tick_s * 1e9))

    def put_off(self, now: int) -> None:
        """Guests are served without delay: look in later.

        The thread starts with the first call, so that a fork before it is harmless.
        """
        self.due = now + self._put_off_ns
        alarm = self._alarm
        if alarm is None:
            alarm = self._alarm = Alarm()
            self._thread = threading.Thread(
                target=self._run, args=(alarm,), name="wasmind-ticker", daemon=True
            )
            self._thread.start()
        alarm.set(self.look_ns)

    def again(self) -> None:
        """A guest was found running for long: go on ticking for a while."""
        self._looks = _LOOKS

    def heed(self, budget_ns: int) -> None:
        """A guest with this CPU budget runs: look in often enough to find it spent."""
        if budget_ns < self.look_ns:
            self._look_after(max(int(self.tick_s * 1e9), budget_ns))

    def close(self) -> None:
        """Stop and join."""
        self._closed = True
        alarm, self._alarm = self._alarm, None
        if alarm is not None and self._thread is not None:
            alarm.set(1)
            self._thread.join()
            self._thread = None
            alarm.close()

    def _look_after(self, nanoseconds: int) -> None:
        self.look_ns = nanoseconds
        self._put_off_ns = min(nanoseconds // 2, _MOST_DUE_NS)
        self.due = 0

    def _run(self, alarm: Alarm) -> None:
        while not self._closed:
            alarm.wait()
            self._looks = 1 if self.polling else 0
            while self._looks > 0 and not self._closed:
                self._looks -= 1
                if self.polling:
                    self._tick()
                time.sleep(self.tick_s)
