"""How much CPU a poll took, at little cost.

The thread's CPU clock is a system call of 0.9 us; the wall clock costs a tenth of it and says the same of a
poll that the system does not interrupt. So polls are timed by the wall clock, and one that seems long is
charged no more than the CPU that the thread has used since a mark, taken whenever the ticker is put off. So a
mark's age when a poll begins is the most that the poll can be charged too much.
"""

from __future__ import annotations

from time import thread_time_ns


class Meter:
    """The marks of the thread that runs an engine's guests."""

    __slots__ = ("_cpu",)

    def __init__(self) -> None:
        self._cpu = 0

    def mark(self) -> None:
        """Take the CPU clock."""
        self._cpu = thread_time_ns()

    def charge(self, wall_ns: int) -> int:
        """The CPU time of a poll that took `wall_ns` and has just ended, or gets this far just now."""
        return min(wall_ns, thread_time_ns() - self._cpu)
