"""When a process that died is started again: at once the first time, then later and later."""

from __future__ import annotations

import random
from time import monotonic

FIRST = 0.1
"""Seconds before the second restart in a row."""
LONGEST = 30.0
"""The longest delay, in seconds."""
STEADY = 60.0
"""A process that lived this many seconds has shown that it can; its deaths before are forgotten."""
DEATHS_TO_QUARANTINE = 6
"""So many deaths in a row, each sooner than STEADY: restarting does not help."""


class Backoff:
    """Counts a process's deaths in a row."""

    def __init__(self) -> None:
        self.deaths = 0
        self._born = monotonic()

    def born(self) -> None:
        """The process was started."""
        self._born = monotonic()

    def died(self) -> float:
        """The process died; how many seconds to wait before the next start."""
        if monotonic() - self._born >= STEADY:
            self.deaths = 0
        self.deaths += 1
        if self.deaths == 1:
            return 0.0
        delay = min(LONGEST, FIRST * 2.0 ** (self.deaths - 2))
        return delay * random.uniform(0.75, 1.25)  # noqa: S311 - spreads restarts, keeps no secret

    @property
    def hopeless(self) -> bool:
        """Whether it died so often in a row that it should not be started again."""
        return self.deaths >= DEATHS_TO_QUARANTINE
