"""Which waiting calls run next, and together."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable


class Waiting(Protocol):
    """A call in the queue."""

    arrived: int
    """When it came, in nanoseconds."""
    rows: int
    """Its part of a batch: the size of the first dimension."""
    group: Hashable | None
    """Calls of an equal group may run together; None: it runs alone."""
    left: bool
    """It was taken or dropped, and is passed over."""


Call = TypeVar("Call", bound=Waiting)


class Queue(Protocol[Call]):
    """Calls that wait for a thread."""

    def add(self, call: Call) -> None:
        """Queue a call."""

    def drop(self, call: Call) -> None:
        """Take a call out of the queue without running it."""

    def due(self) -> int | None:
        """Nanoseconds until `take` may have something: 0 is now, None is never, as the queue stands."""

    def take(self) -> list[Call]:
        """The calls to run next, together; empty when none is due."""


class Line(Generic[Call]):
    """A queue without batching: one call at a time, in order of arrival."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque()
        self.add = self._calls.append

    def drop(self, call: Call) -> None:
        """Take a call out of the queue without running it."""
        call.left = True

    def due(self) -> int | None:
        """0 when calls wait, else None."""
        return 0 if self._calls else None

    def take(self) -> list[Call]:
        """The oldest call."""
        calls = self._calls
        while calls:
            call = calls.popleft()
            if not call.left:
                call.left = True
                return [call]
        return []


class _Group(Generic[Call]):
    """Waiting calls that may run together."""

    __slots__ = ("calls", "rows")

    def __init__(self) -> None:
        self.calls: deque[Call] = deque()
        self.rows = 0

    def first(self) -> Call | None:
        """The oldest call that still waits."""
        while self.calls and self.calls[0].left:
            self.calls.popleft()
        return self.calls[0] if self.calls else None


class Batcher(Generic[Call]):
    """A queue in order of arrival, from which the oldest call takes along those that fit beside it.

    With a delay, the oldest call of a group waits so long for its batch to fill; without, it takes what is
    there.
    """

    def __init__(self, largest: int, delay_ns: int = 0, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._largest = largest
        self._clock = clock
        self._delay = delay_ns
        self._order: deque[Call] = deque()
        self._groups: dict[Hashable, _Group[Call]] = {}
        self._at_once: deque[Call | _Group[Call]] = deque()
        """With a delay: full groups and calls that have no company to wait for."""

    def add(self, call: Call) -> None:
        """Queue a call."""
        self._order.append(call)
        if call.group is None:
            if self._delay:
                self._at_once.append(call)
        else:
            group = self._groups.get(call.group)
            if group is None:
                group = self._groups[call.group] = _Group()
            group.calls.append(call)
            group.rows += call.rows
            if self._delay and group.rows >= self._largest:
                self._at_once.append(group)

    def drop(self, call: Call) -> None:
        """Take a call out of the queue without running it."""
        if not call.left:
            self._leave(call)

    def due(self) -> int | None:
        """Nanoseconds until `take` has something to give: 0 is now, None is never, as the queue stands."""
        head = self._head() if self._order else None
        if head is None:
            return None
        if not self._delay or self._urgent() is not None:
            return 0
        return max(0, head.arrived + self._delay - self._clock())

    def take(self) -> list[Call]:
        """The next batch, at least one call; empty when nothing is due."""
        first = self._urgent() if self._delay else None
        if first is None:
            first = self._head()
            if first is None or (self._delay and first.arrived + self._delay > self._clock()):
                return []
        return self._with_company(first)

    def _head(self) -> Call | None:
        order = self._order
        while order and order[0].left:
            order.popleft()
        return order[0] if order else None

    def _urgent(self) -> Call | None:
        """The first call that need not wait for its delay."""
        while self._at_once:
            first = self._at_once[0]
            if isinstance(first, _Group):
                call = first.first()
                if call is not None and first.rows >= self._largest:
                    return call
            elif not first.left:
                return first
            self._at_once.popleft()
        return None

    def _with_company(self, head: Call) -> list[Call]:
        group = self._groups.get(head.group) if head.group is not None else None
        self._leave(head)
        batch = [head]
        room = self._largest - head.rows
        while group is not None and room > 0:
            call = group.first()
            if call is None or call.rows > room:
                break
            self._leave(call)
            batch.append(call)
            room -= call.rows
        return batch

    def _leave(self, call: Call) -> None:
        call.left = True
        group = self._groups.get(call.group) if call.group is not None else None
        if group is not None:
            group.rows -= call.rows
            if group.first() is None:
                del self._groups[call.group]
