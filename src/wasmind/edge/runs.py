"""The requests under way: waited for while the worker drains, cut at its deadline."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wasmind.edge.http_request import HttpRequest

CUT_S = 1.0
"""How long a request that is ended may take to tell its client."""


class Runs:
    """The requests that run a guest in this worker."""

    def __init__(self) -> None:
        self._running: set[HttpRequest] = set()
        self._idle: asyncio.Event | None = None

    def __len__(self) -> int:
        return len(self._running)

    def begin(self, request: HttpRequest) -> None:
        """It runs."""
        self._running.add(request)

    def end(self, request: HttpRequest) -> None:
        """It has ended."""
        self._running.discard(request)
        if self._idle is not None and not self._running:
            self._idle.set()

    async def idle(self, seconds: float) -> bool:
        """Wait until nothing runs, for so long at most; whether nothing does."""
        if self._running:
            self._idle = asyncio.Event()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), seconds)
        return not self._running

    async def cut(self) -> int:
        """End what still runs and wait for its end; how many requests that were."""
        left = list(self._running)
        for request in left:
            request.end()
        if left:
            await self.idle(CUT_S)
        return len(left)
