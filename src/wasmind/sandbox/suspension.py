"""A guest's waits, for a host function or for its next turn, ended early by its deadline or its task's
cancellation."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from wasmind.sandbox.explain import deadline_passed

if TYPE_CHECKING:
    from wasmind.config import Limits
    from wasmind.errors import DeadlinePassed
    from wasmind.sandbox.deadline import Deadlines
    from wasmind.sandbox.engine import Engine


class Suspension:
    """Made when a guest first waits, in the task that runs it; a guest that never waits has none.

    `began_wall` is when the guest was made, by `time.perf_counter_ns`: its wall deadline counts from there.
    `paused` is set while the task waits on the guest's behalf, and may be cancelled for it; `since_ns` is
    when others last had their turn.
    """

    __slots__ = ("_cancelling", "_deadlines", "_limits", "_slot", "_task", "expired", "paused", "since_ns")

    def __init__(self, deadlines: Deadlines, limits: Limits, began_wall: int) -> None:
        self._limits = limits
        self._deadlines = deadlines
        self._task: asyncio.Task[Any] | None = asyncio.current_task()
        self.paused = self.expired = self._cancelling = False
        self.since_ns = time.perf_counter_ns()
        left_s = limits.wall_ms / 1e3 - (time.perf_counter_ns() - began_wall) / 1e9
        self._slot = deadlines.watch(self, left_s)

    def end(self) -> None:
        """The guest has ended."""
        self._deadlines.forget(self, self._slot)
        self._task = None

    def slice_over(self, engine: Engine, cpu_ns: int) -> bool:
        """Whether it is others' turn: the guest has gone on for a slice, or has had one while they wait."""
        if cpu_ns > engine.tick_ns and len(engine.scheduler):
            return True
        return time.perf_counter_ns() - self.since_ns > engine.tick_ns

    def expire(self) -> None:
        """The deadline has passed: end the wait, or the next one."""
        self.expired = True
        if self.paused and self._task is not None:
            self._cancelling = self._task.cancel()

    def late(self) -> DeadlinePassed:
        """The error to raise once `expired`; the task is no longer being cancelled for it."""
        if self._cancelling and self._task is not None:
            self._task.uncancel()
            self._cancelling = False
        return deadline_passed(self._limits)

    def cancelled_by_deadline(self) -> bool:
        """Whether a cancellation of the task is the deadline's, and nobody else's."""
        return self._cancelling and self._task is not None and self._task.cancelling() == 1

    def cancelled(self) -> bool:
        """Whether the guest's own task is being cancelled, rather than something that it awaited."""
        return self._task is None or self._task.cancelling() > 0
