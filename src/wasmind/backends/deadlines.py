"""One timer for the deadlines of all calls that wait."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_INTERVAL_S = 0.005


class Timed(Protocol):
    """Something with a deadline."""

    deadline: float


Item = TypeVar("Item", bound=Timed)


class Deadlines(Generic[Item]):
    """The items that wait. Those whose deadline passes are told of, at most 5 ms late.

    A timer for each would cost more than the rest of a call: nearly all calls end long before their deadline.
    So one timer is set to the earliest, and when it rings all are looked at.
    """

    def __init__(self, expire: Callable[[Item], None]) -> None:
        """`expire` is called for an item when its deadline has passed; the item stays until it is removed."""
        self.items: set[Item] = set()
        self._expire = expire
        self._next = float("inf")
        self._timer: asyncio.TimerHandle | None = None

    def add(self, item: Item) -> None:
        """Watch an item."""
        self.items.add(item)
        if item.deadline < self._next:
            self._arm(item.deadline)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._next = None, float("inf")

    def _arm(self, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        at = max(deadline, loop.time() + _INTERVAL_S)
        if at >= self._next:  # or items that come late, one after the other, would put it off for ever
            return
        if self._timer is not None:
            self._timer.cancel()
        self._next = at
        self._timer = loop.call_at(self._next, self._sweep)

    def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        self.close()
        late = [item for item in self.items if item.deadline <= now]
        for item in sorted(late, key=lambda item: item.deadline):
            self._expire(item)
        earliest = min((item.deadline for item in self.items if item.deadline > now), default=None)
        if earliest is not None:
            self._arm(earliest)
