"""Answers that are waited for, and what is done with them then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any


class Later:
    """Awaits something, and gives what `then` makes of it."""

    __slots__ = ("_awaitable", "_then")

    def __init__(self, awaitable: Awaitable[Any], then: Callable[[Any], Any]) -> None:
        self._awaitable = awaitable
        self._then = then

    def __await__(self) -> Generator[Any, None, Any]:
        """Wait."""
        value = yield from self._awaitable.__await__()
        return self._then(value)

    def close(self) -> None:
        """Nobody will wait: a coroutine that was never begun is closed, not left to be complained about."""
        end = getattr(self._awaitable, "close", None) or getattr(self._awaitable, "cancel", None)
        if end is not None:
            end()
