"""Things a guest can wait for. Waiting suspends the guest, never the loop."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Sequence
from typing import Any

from wasmind.guest_api.wasi.poll import monotonic


class Pollable(ABC):
    """Something that is ready, or will be."""

    __slots__ = ()

    @property
    @abstractmethod
    def ready(self) -> bool:
        """Whether it is ready now."""

    @abstractmethod
    def wait(self) -> Awaitable[object]:
        """Wait until it is ready. The wait may be given up, and begun again later."""

    def abandon(self) -> None:  # noqa: B027 - most have nothing to give up
        """The guest is gone, and waits for nothing any more."""


class Always(Pollable):
    """Ready from the beginning."""

    __slots__ = ()
    ready = True

    async def wait(self) -> None:
        """There is nothing to wait for."""


class Timer(Pollable):
    """Ready at a time of the monotonic clock, in nanoseconds."""

    __slots__ = ("due",)

    def __init__(self, due: int) -> None:
        self.due = due

    @property
    def ready(self) -> bool:
        """Whether the time has come."""
        return monotonic() >= self.due

    async def wait(self) -> None:
        """Sleep until then."""
        while (left := self.due - monotonic()) > 0:
            await asyncio.sleep(min(left / 1e9, _LONGEST))


class Done(Pollable):
    """Ready when a future is done."""

    __slots__ = ("_future",)

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self._future = future

    @property
    def ready(self) -> bool:
        """Whether the future is done."""
        return self._future.done()

    def wait(self) -> Awaitable[object]:
        """Wait for the future, which goes on if the wait is given up."""
        return asyncio.wait((self._future,))


def ready_ones(pollables: Sequence[Pollable]) -> list[int]:
    """The places of those that are ready now."""
    return [place for place, each in enumerate(pollables) if each.ready]


async def wait_any(pollables: Sequence[Pollable]) -> list[int]:
    """Wait until at least one is ready, and give the places of all that are."""
    while not (found := ready_ones(pollables)):
        if len(pollables) == 1:
            await pollables[0].wait()
            continue
        waits = [asyncio.ensure_future(each.wait()) for each in pollables]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
    return found


_LONGEST = 86_400.0
