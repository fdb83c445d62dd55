"""Ends runs that nobody waits for, and runs that do not end."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wasmind.worker.inference import Runner

_PERIOD = 0.02
_IDLE_AFTER_NS = 1_000_000_000
FAULT = 70
"""The exit status after a fault of the worker itself."""
GRACE = 1.0
"""Seconds that a run gets to end after it was told to; then the kernel ends the process."""


class Watch:
    """A thread that looks every 20 ms while there is work, and sleeps while there is none.

    It costs the path of a call one test of a flag. Frameworks look at their stop flag between two nodes of
    the graph; for one that does not come that far, a timer of the kernel is wound up, and SIGALRM ends the
    process.
    """

    def __init__(self, runners: Sequence[Runner], limit_ms: float, read: Callable[[], None]) -> None:
        self._runners = runners
        self._limit = int(limit_ms * 1e6)
        self._read = read
        self._worked = 0
        self._wound = False
        self._awake = threading.Event()
        self.asleep = True
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)

    def start(self) -> None:
        """Begin; the thread is made before the worker may make no more."""
        self._thread.start()

    def wake(self) -> None:
        """There is work. Called only while `asleep`."""
        self.asleep = False
        self._awake.set()

    def _watch(self) -> None:
        try:
            while True:
                self._awake.wait()
                time.sleep(_PERIOD)
                now = time.monotonic_ns()
                if self._look(now):
                    self._worked = now
                elif now - self._worked > _IDLE_AFTER_NS:
                    self._awake.clear()
                    self.asleep = True
        except BaseException:  # noqa: BLE001 - without a watch nothing ends a run
            die()

    def _look(self, now: int) -> bool:
        """Whether anything runs."""
        oldest = None
        for runner in self._runners:
            calls = runner.calls
            if calls is None:
                continue
            oldest = min(oldest or now, runner.started)
            if now - runner.started > self._limit or runner.is_pointless(now):
                runner.aborted = calls
                runner.execution.abort()
        self._read()
        self._wind(now, oldest)
        return oldest is not None

    def _wind(self, now: int, oldest: int | None) -> None:
        """Set the kernel's timer by the oldest run, so that it outlives whatever this process is stuck in."""
        if oldest is not None:
            left = max(0.001, (oldest + self._limit - now) / 1e9 + GRACE)
            signal.setitimer(signal.ITIMER_REAL, left)
        elif self._wound:
            signal.setitimer(signal.ITIMER_REAL, 0)
        self._wound = oldest is not None


def die() -> NoReturn:
    """End the process because of the exception in hand; its words go where whoever watches it looks."""
    traceback.print_exc()
    sys.stderr.flush()
    os._exit(FAULT)
