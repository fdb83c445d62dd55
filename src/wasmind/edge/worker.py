"""An edge worker's talk with the supervisor: it greets, serves what it is told to, drains, ends."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from wasmind.edge.serving import Serving
from wasmind.errors import NodeError, WasmindError
from wasmind.node.messages import (
    Applied,
    Drain,
    Drained,
    FromEdge,
    Hello,
    Listening,
    LoadedModel,
    ModelState,
    Snapshot,
    Start,
    ToEdge,
)
from wasmind.node.words import Failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class EdgeWorker:
    """Made once per process."""

    def __init__(self, send: Callable[[FromEdge], None]) -> None:
        """`send` tells the supervisor something."""
        self._send = send
        self._start: Start | None = None
        self._serving: Serving | None = None
        self._stopping = asyncio.Event()
        self._deadline_ms: float | None = None

    def stop(self) -> None:
        """Drain and end, within the time that the configuration gives; `run` returns then."""
        self._stopping.set()

    async def run(self, messages: AsyncIterator[ToEdge]) -> None:
        """Do what the supervisor says until it says `Drain` or hangs up, or `stop` is called; then drain.

        Raises NodeError when the supervisor cannot be understood.
        """
        self._send(Hello(pid=os.getpid()))
        listening = asyncio.create_task(self._listen(messages))
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({listening, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if self._serving is not None:
            self._send(Drained(cut=await self._serving.drain(self._deadline_ms)))
        listening.cancel()
        await asyncio.wait({listening})
        if not listening.cancelled():
            listening.result()

    async def _listen(self, messages: AsyncIterator[ToEdge]) -> None:
        async for message in messages:
            await self._take(message)

    async def _take(self, message: ToEdge) -> None:
        serving = self._serving
        if isinstance(message, Start):
            self._start = message
        elif isinstance(message, Snapshot):
            await self._apply(message)
        elif isinstance(message, Drain):
            self._deadline_ms = message.deadline_ms
            self._stopping.set()
        elif serving is None:
            raise NodeError(f"the supervisor sent {type(message).__name__} before a snapshot")
        elif isinstance(message, ModelState):
            serving.models.update(message.model)
        elif isinstance(message, LoadedModel):
            serving.loads.answered(message)

    async def _apply(self, snapshot: Snapshot) -> None:
        if self._serving is None:
            if self._start is None:
                raise NodeError("the supervisor sent a snapshot before `Start`")
            self._serving = Serving(self._start, snapshot, self._send)
        serving = self._serving
        try:
            await serving.deployment.apply(snapshot)
        except WasmindError as error:
            self._send(Applied(generation=snapshot.generation, failure=Failure.of(error)))
            return
        serving.limit(snapshot.node)
        self._send(Applied(generation=snapshot.generation))
        if await serving.open():
            self._send(Listening(notes=tuple(serving.engine.notes)))
