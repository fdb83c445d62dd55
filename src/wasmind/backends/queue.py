"""Calls that wait for their turn, with tenants served in turn."""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, TypeVar


class Queued(Protocol):
    """What can wait here."""

    tenant: str
    gone: bool
    """Nobody waits for it any more; it is passed over."""


_TOLERATED = 64
Item = TypeVar("Item", bound=Queued)


class FairQueue(Generic[Item]):
    """First come, first served within a tenant; between tenants, one each in turn.

    So a tenant with a thousand calls waiting delays another's single call by one call, not by a thousand.
    """

    def __init__(self) -> None:
        self._tenants: dict[str, deque[Item]] = {}
        self._turns: deque[str] = deque()
        self._size = 0
        self._gone = 0

    def __bool__(self) -> bool:
        """Whether anything may wait; what is passed over counts until `first` meets it."""
        return bool(self._turns)

    def push(self, item: Item) -> None:
        """Queue an item."""
        own = self._tenants.get(item.tenant)
        if own is None:
            own = self._tenants[item.tenant] = deque()
            self._turns.append(item.tenant)
        own.append(item)
        self._size += 1

    def first(self) -> Item | None:
        """The item whose turn it is; it stays."""
        while self._turns:
            tenant = self._turns[0]
            own = self._tenants[tenant]
            while own and own[0].gone:
                own.popleft()
                self._size -= 1
                self._gone -= 1
            if own:
                return own[0]
            self._turns.popleft()
            del self._tenants[tenant]
        return None

    def pop(self) -> None:
        """Take out the item that `first` gave; the next tenant has its turn."""
        tenant = self._turns.popleft()
        own = self._tenants[tenant]
        own.popleft()
        self._size -= 1
        if own:
            self._turns.append(tenant)
        else:
            del self._tenants[tenant]

    def give_up(self, item: Item) -> None:
        """Nobody waits for this item any more. When most are such, they are swept out, so none pile up."""
        item.gone = True
        self._gone += 1
        if 2 * self._gone > self._size + _TOLERATED:
            waiting = self.drain()
            for kept in waiting:
                self.push(kept)

    def drain(self) -> list[Item]:
        """Take out everything that somebody still waits for, in the order of turns."""
        found = []
        while (item := self.first()) is not None:
            self.pop()
            found.append(item)
        self._size = self._gone = 0
        return found
