"""The requests under way: watched for clients that leave, waited for while draining, cut at its deadline."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from wasmind.errors import ClientGone, Overloaded, WasmindError

if TYPE_CHECKING:
    from wasmind.edge.body import RequestBody

SLOT_S = 0.01
"""A request that has run for one to two of these is watched; most end before and are never."""


CUT_S = 1.0
"""How long a request that is ended may take to tell its client."""


class Run:
    """One request that runs a guest."""

    __slots__ = ("_place", "body", "cut", "gone", "task")

    def __init__(self, task: asyncio.Task[Any] | None, body: RequestBody, place: dict[Run, None]) -> None:
        self.task = task
        self.body = body
        self.gone = False
        """Whether it was ended because its client left."""
        self.cut = False
        """Whether it was ended because the worker stops."""
        self._place = place
        place[self] = None

    def leave(self) -> None:
        """It has ended."""
        self._place.pop(self, None)

    def move(self, place: dict[Run, None]) -> None:
        """Stand in another table from now on."""
        self._place.pop(self, None)
        self._place = place
        place[self] = None

    def client_left(self) -> None:
        """End it at once: nobody waits for its answer."""
        if not self.cut:
            self.gone = True
            self._cancel()

    def end(self) -> None:
        """End it: the worker stops."""
        if not self.gone:
            self.cut = True
            self._cancel()

    def reason(self) -> WasmindError | None:
        """Why it was ended, if it was ended here."""
        if self.gone:
            return ClientGone("the client closed the connection before the answer was complete")
        if self.cut:
            return Overloaded("the node stops, and the request did not end in time", remedy="try again")
        return None

    def _cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()


class Runs:
    """All runs of this worker. One costs an entry in a table; a timer runs while there are new ones."""

    def __init__(self) -> None:
        self._new: dict[Run, None] = {}
        self._recent: dict[Run, None] = {}
        self._watched: dict[Run, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._idle: asyncio.Event | None = None

    def __len__(self) -> int:
        return len(self._new) + len(self._recent) + len(self._watched)

    def begin(self, task: asyncio.Task[Any] | None, body: RequestBody) -> Run:
        """Count a run from now on."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SLOT_S, self._turn)
        return Run(task, body, self._new)

    def end(self, run: Run) -> None:
        """Count it no more."""
        run.leave()
        if self._idle is not None and not len(self):
            self._idle.set()

    async def idle(self, seconds: float) -> bool:
        """Wait until nothing runs, for so long at most; whether nothing does."""
        if len(self):
            self._idle = asyncio.Event()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), seconds)
        return not len(self)

    async def cut(self) -> int:
        """End what still runs and wait for its end; how many requests that were."""
        left = (*self._new, *self._recent, *self._watched)
        for run in left:
            run.end()
        if left:
            await self.idle(CUT_S)
        return len(left)

    def _turn(self) -> None:
        for run in list(self._recent):
            run.move(self._watched)
            run.body.watch(run.client_left)
        self._recent, self._new = self._new, self._recent
        self._timer = asyncio.get_running_loop().call_later(SLOT_S, self._turn) if self._recent else None
