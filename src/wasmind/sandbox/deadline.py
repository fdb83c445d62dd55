"""Wall deadlines for many guests at little cost: one timer per slot of time, and no timer for a guest that
never waits."""

from __future__ import annotations

import asyncio
from typing import Protocol

SLOT_S = 0.016
"""How late a deadline may be found passed."""


class Expiring(Protocol):
    """Something with a deadline."""

    def expire(self) -> None:
        """The deadline has passed."""


class Deadlines:
    """The deadlines of one event loop; a new loop begins with none."""

    __slots__ = ("_loop", "_slots")

    def __init__(self) -> None:
        self._slots: dict[int, set[Expiring]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def watch(self, guest: Expiring, left_s: float) -> int:
        """Call `guest.expire()` when `left_s` seconds have passed; returns the slot, for `forget`."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._slots = loop, {}
        slot = int((loop.time() + left_s) / SLOT_S) + 1
        guests = self._slots.get(slot)
        if guests is None:
            guests = self._slots[slot] = set()
            loop.call_at(slot * SLOT_S, self._expire, slot)
        guests.add(guest)
        return slot

    def forget(self, guest: Expiring, slot: int) -> None:
        """Stop watching. Harmless when it has expired."""
        guests = self._slots.get(slot)
        if guests is not None:
            guests.discard(guest)

    def _expire(self, slot: int) -> None:
        for guest in self._slots.pop(slot, ()):
            guest.expire()
