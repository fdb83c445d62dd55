"""The edge workers: started, told what to serve, watched, restarted, drained."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from wasmind.errors import NodeError
from wasmind.node.backoff import Backoff
from wasmind.node.channel import Channel, open_in_supervisor
from wasmind.node.child import Child
from wasmind.node.messages import (
    Applied,
    Drain,
    Drained,
    FromEdge,
    Hello,
    Listening,
    LoadedModel,
    LoadModel,
    ModelState,
    Released,
    Snapshot,
    Start,
    Stats,
    ToEdge,
)
from wasmind.node.status import EdgeStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from wasmind.telemetry.logs import Logger

START_SECONDS = 60.0
"""How long an edge worker may take until it accepts connections."""
GRACE_SECONDS = 5.0
"""How long beyond its drain deadline an edge worker may take to end."""


class Edge:
    """One edge worker: its process changes when it dies, its index stays."""

    def __init__(
        self,
        start: Start,
        snapshot: Callable[[], Snapshot],
        load: Callable[[LoadModel], Awaitable[LoadedModel]],
        logger: Logger,
        environment: Mapping[str, str],
    ) -> None:
        """`snapshot` gives the newest one; `load` answers a function that brings a model's bytes."""
        self.start_message = start
        self._snapshot = snapshot
        self._load = load
        self._logger = logger.bind(edge=start.index)
        self._environment = environment
        self._backoff = Backoff()
        self._child: Child | None = None
        self._channel: Channel[FromEdge, ToEdge] | None = None
        self._loads: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()
        self._draining = asyncio.Event()
        self._drain_seconds = 0.0
        self._task: asyncio.Task[None] | None = None
        self.restarts = 0
        self.listening = False
        self.applied = 0
        self.released = 0
        self.failure: str | None = None
        self.notes: tuple[str, ...] = ()
        self._stats: Stats | None = None

    def run(self) -> None:
        """Start it, and keep it running until it is told to drain."""
        self._task = asyncio.create_task(self._keep_running())

    async def _keep_running(self) -> None:
        while not self._draining.is_set():
            self._backoff.born()
            words = await self._live()
            self.listening, self.applied, self.released, self._stats = False, 0, 0, None
            if self._draining.is_set():
                break
            self.restarts += 1
            self.failure = f"the edge worker {self.start_message.index} died: {words}"
            delay = self._backoff.died()
            self._logger.error("edge worker died", how=words, restart_in_seconds=round(delay, 2))
            await self._notify()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._draining.wait(), delay)

    async def _live(self) -> str:
        """One process's life; how it ended in words."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._child = await Child.start(
                "wasmind.edge",
                [str(theirs.fileno())],
                [theirs.fileno(), self.start_message.listen_fd],
                self._environment,
            )
        self._channel = await open_in_supervisor(ours)
        try:
            async for message in self._channel.messages():
                await self._take(message)
        except NodeError as error:
            self._logger.warning("edge worker cannot be understood", **error.as_dict())
            await self._child.stop(0)
        finally:
            await self._channel.close()
            self._channel = None
        patience = asyncio.create_task(self._end_after(GRACE_SECONDS))
        try:
            return await self._child.wait()
        finally:
            patience.cancel()

    async def _end_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if self._child:
            await self._child.stop(0)

    async def _take(self, message: FromEdge) -> None:
        match message:
            case Hello():
                self.send(self.start_message)
                self.send(self._snapshot())
                if self._draining.is_set():
                    self.send(Drain(deadline_ms=self._drain_seconds * 1000))
            case Applied(generation=generation, failure=failure):
                self.applied = generation
                self.failure = failure.error().explain() if failure else None
            case Listening(notes=notes):
                self.listening, self.failure, self.notes = True, None, notes
            case Released(generation=generation):
                self.released = generation
            case Stats():
                self._stats = message
                return
            case Drained(cut=cut):
                if cut:
                    self._logger.warning("requests were cut at the drain deadline", requests=cut)
            case LoadModel():
                task = asyncio.create_task(self._answer(message))
                self._loads.add(task)
                task.add_done_callback(self._loads.discard)
                return
        await self._notify()

    async def _answer(self, message: LoadModel) -> None:
        self.send(await self._load(message))

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def send(self, message: Snapshot | ModelState | LoadedModel | Start | Drain) -> None:
        """Tell it; one that is just restarting learns from its first snapshot instead."""
        if self._channel:
            self._channel.send(message)

    async def until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Wait for something about this edge to hold; whether it came to hold in time."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(holds)
        except TimeoutError:
            return False
        return True

    async def drain(self, seconds: float) -> None:
        """Let it finish its requests within `seconds`, then see it end."""
        self._drain_seconds = seconds
        self._draining.set()
        self.send(Drain(deadline_ms=seconds * 1000))
        if self._task:
            patience = asyncio.create_task(self._end_after(seconds + GRACE_SECONDS))
            await self._task
            patience.cancel()

    def status(self) -> EdgeStatus:
        """How it is."""
        stats = self._stats
        state = "draining" if self._draining.is_set() else "serving" if self.listening else "starting"
        return EdgeStatus(
            index=self.start_message.index,
            pid=self._child.pid if self._child else None,
            state=state if self._channel else "restarting",  # type: ignore[arg-type]  # literals above
            generation=self.applied,
            restarts=self.restarts,
            requests=stats.requests if stats else 0,
            running=stats.running if stats else 0,
            guests=stats.guests if stats else 0,
        )
