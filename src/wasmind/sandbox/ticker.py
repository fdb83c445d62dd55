"""The thread that ticks: it raises the engine's epoch so that a guest which does not stop by itself is
stopped.

It costs nothing while no guest runs and little while guests are short: it sleeps until a poll wakes it, looks
in every few ticks, and ticks at full rate only after a poll has outlasted a look.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SLOW_TICKS = 4
"""How many ticks pass between two looks while no poll is long."""
_CALM_LOOKS = 50
"""How many looks without a long poll until it slows down."""
_IDLE_LOOKS = 64
"""How many looks that find no poll at all until it sleeps."""


class Ticker:
    """Ticks for one engine. Whoever polls guests sets `polling` and counts `polls`, and calls `wake` when
    `asleep`."""

    def __init__(self, tick_s: float, tick: Callable[[], None]) -> None:
        self.tick_s = tick_s
        self.look_s = _SLOW_TICKS * tick_s
        self.look_ns = int(self.look_s * 1e9)
        self.polling = 0
        self.asleep = True
        self._tick = tick
        self._awake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Start looking; the thread starts with the first call, so that a fork before it is harmless."""
        self.asleep = False
        self._awake.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="wasmind-ticker", daemon=True)
            self._thread.start()

    def heed(self, budget_ns: int) -> None:
        """A guest with this CPU budget runs: look in often enough to find it spent."""
        if budget_ns < self.look_ns:
            self.look_s = max(self.tick_s, budget_ns / 1e9)
            self.look_ns = int(self.look_s * 1e9)

    def close(self) -> None:
        """Stop and join."""
        self._closed = True
        self._awake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        seen, calm, idle = 0, _CALM_LOOKS, 0
        while not self._closed:
            polling = self.polling
            long = polling != 0 and polling == seen
            if long or (polling and calm < _CALM_LOOKS):
                self._tick()
            calm = 0 if long else calm + 1
            idle = 0 if polling else idle + 1
            seen = polling
            if idle < _IDLE_LOOKS:
                time.sleep(self.tick_s if polling or calm < _CALM_LOOKS else self.look_s)
            else:
                self._sleep()
                idle = 0

    def _sleep(self) -> None:
        self._awake.clear()
        self.asleep = True
        if not self.polling:  # a poll that began before `asleep` was set does not wake
            self._awake.wait()
        self.asleep = False
