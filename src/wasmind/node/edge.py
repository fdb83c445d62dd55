"""An edge worker: started, told what to serve, watched, restarted, drained."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from wasmind.errors import NodeError, WasmindError
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
    Managed,
    ManageModel,
    ModelState,
    Released,
    Snapshot,
    Start,
    Stats,
    ToEdge,
    WantModel,
)
from wasmind.node.status import EdgeStatus
from wasmind.node.watched import watched
from wasmind.node.words import Failure
from wasmind.telemetry.logs import failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

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
        uses: Callable[[WantModel | Stats], None],
        logger: Logger,
        *,
        module: str = "wasmind.edge",
        kind: str = "edge worker",
        manage: Callable[[ManageModel], Awaitable[Managed]] | None = None,
    ) -> None:
        """`snapshot` gives the newest one; `load` answers a function that brings a model's bytes; `uses`
        hears which models are used.

        `module` is what its process runs, `kind` what it is called to people; `manage` answers a process that
        may load and unload models.
        """
        self.start_message = start
        self._snapshot = snapshot
        self._load = load
        self._uses = uses
        self._manage = manage
        self._module = module
        self._kind = kind
        self._logger = logger.bind(edge=start.index)
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
        self._greeted = False
        self.applied = 0
        self.released = 0
        self.failure: WasmindError | None = None
        self.notes: tuple[str, ...] = ()
        self._stats: Stats | None = None

    @property
    def index(self) -> int:
        """Which of the node's edge workers it is."""
        return self.start_message.index

    @property
    def title(self) -> str:
        """What it is called to people."""
        return f"{self._kind} {self.index}"

    @property
    def refused(self) -> bool:
        """Whether it runs, and did not take its newest configuration."""
        return self._channel is not None and self.failure is not None

    def run(self) -> None:
        """Start it, and keep it running until it is told to drain."""
        self._task = watched(self._keep_running())

    async def _keep_running(self) -> None:
        while not self._draining.is_set():
            self._backoff.born()
            words = await self._live()
            self.listening = self._greeted = False
            self.applied, self.released, self._stats = 0, 0, None
            if self._draining.is_set():
                break
            self.restarts += 1
            self.failure = NodeError(f"the {self.title} died", cause=words)
            delay = self._backoff.died()
            self._logger.error(f"{self._kind} died", how=words, restart_in_seconds=round(delay, 2))
            await self._notify()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._draining.wait(), delay)

    async def _live(self) -> str:
        """One process's life; how it ended in words."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._child = await Child.start(
                self._module,
                [str(theirs.fileno())],
                [theirs.fileno(), *self.start_message.fds],
            )
        self._channel = await open_in_supervisor(ours)
        try:
            async for message in self._channel.messages():
                await self._take(message)
        except NodeError as error:
            self._logger.warning(f"{self._kind} cannot be understood", **error.as_dict())
            self._child.kill()
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
            self._child.kill()

    async def _take(self, message: FromEdge) -> None:
        match message:
            case Hello():
                self._greeted = True
                self.send(self.start_message)
                self.send(self._snapshot())
                if self._draining.is_set():
                    self.send(Drain(deadline_ms=self._drain_seconds * 1000))
            case Applied(failure=Failure() as refused):
                self.failure = refused.error()
                self._logger.error(f"{self._kind} refused its configuration", **failure(self.failure))
            case Applied(generation=generation):
                self.failure = None
                if not self.applied:  # nothing older ever ran in this process
                    self.released = generation - 1
                self.applied = generation
            case Listening(notes=notes):
                self.listening, self.notes = True, notes
            case Released(generation=generation):
                self.released = generation
            case Stats() | WantModel():
                self._stats = message if isinstance(message, Stats) else self._stats
                self._uses(message)
                return
            case Drained(cut=cut):
                if cut:
                    self._logger.warning("requests were cut at the drain deadline", requests=cut)
            case LoadModel() | ManageModel():
                self._answer(message)
                return
        await self._notify()

    def _answer(self, question: LoadModel | ManageModel) -> None:
        async def answer() -> None:
            if isinstance(question, LoadModel):
                self.send(await self._load(question))
            elif self._manage is not None:
                self.send(await self._manage(question))

        task = asyncio.create_task(answer())
        self._loads.add(task)
        task.add_done_callback(self._loads.discard)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def send(self, message: Snapshot | ModelState | LoadedModel | Managed | Start | Drain) -> None:
        """Tell it; one that is just starting learns from its first snapshot instead."""
        if self._channel and self._greeted:
            self._channel.send(message)

    def offer(self, snapshot: Snapshot) -> None:
        """Give it a new snapshot, whatever it said of the one before."""
        if self._greeted:
            self.failure = None
        self.send(snapshot)

    async def until(self, holds: Callable[[], bool], seconds: float | None) -> bool:
        """Wait for something about this edge to hold; whether it came to hold in time (None: for ever)."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(holds)
        except TimeoutError:
            return False
        return True

    async def has_applied(self, generation: int, seconds: float) -> bool:
        """Wait until it serves `generation` or refuses it."""
        return await self.until(lambda: self.applied >= generation or self.refused, seconds)

    async def has_released(self, generation: int) -> bool:
        """Wait until no request of it runs on `generation` or an older one."""
        return await self.until(lambda: self.released >= generation, None)

    def kill(self) -> None:
        """End its process now."""
        self._draining.set()
        if self._child:
            self._child.kill()

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
            index=self.index,
            pid=self._child.pid if self._child else None,
            state=state if self._channel else "restarting",  # type: ignore[arg-type]  # literals above
            generation=self.applied,
            restarts=self.restarts,
            requests=stats.requests if stats else 0,
            running=stats.running if stats else 0,
            guests=stats.guests if stats else 0,
        )
