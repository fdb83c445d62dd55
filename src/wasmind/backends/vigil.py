"""Staying awake while an answer is about to come (docs/decisions/0034)."""

from __future__ import annotations

import asyncio
import select
from os import sched_yield
from time import perf_counter_ns
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_NS = 100_000
"""How long one vigil may last; to sleep and to be woken takes about as long."""


class Vigil:
    """Keeps its thread from sleeping for a moment, where nobody else has use of the time.

    It watches what the event loop would sleep on, so whatever the loop has to do ends it. Other processes get
    the core if they want it. On a loop that does not tell what it sleeps on (uvloop does), it does nothing.
    """

    __slots__ = ("_alone", "_poll")

    def __init__(self, alone: Callable[[], bool]) -> None:
        """`alone` says whether nothing else waits for the running event loop's thread."""
        self._alone = alone
        descriptor = getattr(asyncio.get_running_loop(), "_get_backend_id", None)
        watched = select.poll()
        if descriptor is not None:
            watched.register(descriptor(), select.POLLIN)
        self._poll = watched.poll if descriptor is not None else None

    def keep(self) -> bool:
        """Stay awake until the loop has something to do, at most for `LONGEST_NS`; whether it has by then."""
        poll = self._poll
        if poll is None or not self._alone():
            return False
        until = perf_counter_ns() + LONGEST_NS
        while not poll(0):
            if perf_counter_ns() > until:
                return False
            sched_yield()
        return True
