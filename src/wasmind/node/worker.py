"""The talk of a process that serves with its supervisor: it greets, serves what it is told to, drains, ends.

Edge workers talk like this, and so does the inference process.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Protocol, TypeAlias

from wasmind.errors import NodeError, WasmindError
from wasmind.node.messages import (
    Applied,
    Drain,
    Drained,
    FromEdge,
    Hello,
    Listening,
    LoadedModel,
    Managed,
    ModelState,
    Snapshot,
    Start,
    ToEdge,
)
from wasmind.node.words import Failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

Send: TypeAlias = "Callable[[FromEdge], None]"


class Serving(Protocol):
    """What such a process serves; it is made from the first snapshot."""

    async def apply(self, snapshot: Snapshot) -> None:
        """Serve this snapshot from now on. Raises WasmindError; then nothing has changed."""

    async def open(self) -> tuple[str, ...] | None:
        """Accept connections from now on: what this machine lacks for that; None if it did so before."""

    def take(self, message: ModelState | LoadedModel | Managed) -> None:
        """The supervisor tells something."""

    async def drain(self, deadline_ms: float | None) -> int:
        """Finish what was accepted and free everything; how many requests the deadline cut."""


class Worker:
    """Made once per process."""

    def __init__(self, send: Send, make: Callable[[Start, Snapshot, Send], Serving]) -> None:
        """`send` tells the supervisor something; `make` is called once, for the first snapshot."""
        self._send = send
        self._make = make
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
        if isinstance(message, Start):
            self._start = message
        elif isinstance(message, Snapshot):
            await self._apply(message)
        elif isinstance(message, Drain):
            self._deadline_ms = message.deadline_ms
            self._stopping.set()
        elif self._serving is None:
            raise NodeError(f"the supervisor sent {type(message).__name__} before a snapshot")
        else:
            self._serving.take(message)

    async def _apply(self, snapshot: Snapshot) -> None:
        if self._serving is None:
            if self._start is None:
                raise NodeError("the supervisor sent a snapshot before `Start`")
            self._serving = self._make(self._start, snapshot, self._send)
        serving = self._serving
        try:
            await serving.apply(snapshot)
        except WasmindError as error:
            self._send(Applied(generation=snapshot.generation, failure=Failure.of(error)))
            return
        self._send(Applied(generation=snapshot.generation))
        notes = await serving.open()
        if notes is not None:
            self._send(Listening(notes=notes))
