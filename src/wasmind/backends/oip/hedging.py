"""How often a request may be sent twice."""

from __future__ import annotations

PRICE = 10
"""Requests that earn one that is sent twice: a tenth may be, over time."""
SAVED = 10
"""How many may be sent twice in a row at most."""


class Budget:
    """Keeps hedging from doubling the load of servers that are slow since they have too much of it.

    Each request earns a tenth of a second one. (J. Dean and L. Barroso, "The Tail at Scale", CACM 2013.)
    """

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = SAVED * PRICE

    def earn(self) -> None:
        """A request is sent."""
        self._left = min(self._left + 1, SAVED * PRICE)

    def take(self) -> bool:
        """Whether one may be sent twice now; if so, it is counted."""
        if self._left < PRICE:
            return False
        self._left -= PRICE
        return True
