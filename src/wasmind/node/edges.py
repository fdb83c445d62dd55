"""All edge workers of a node: as one they are started, told, waited for and drained."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from wasmind.errors import NodeError
from wasmind.node.edge import START_SECONDS, Edge
from wasmind.node.listen import deafen, listen
from wasmind.node.messages import LoadedModel, LoadModel, ModelState, Snapshot, Start, Stats, WantModel
from wasmind.node.status import EdgeStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wasmind.config import Node
    from wasmind.node.state import StateDir
    from wasmind.telemetry.logs import Logger

APPLY_SECONDS = 60.0
"""How long an edge worker may take to apply a snapshot."""
STARTS = 2
"""An edge worker that dies so often before it ever serves keeps the node from starting."""


class Edges:
    """The edge workers; each has a listening socket of its own, which is kept over its restarts."""

    def __init__(
        self,
        node: Node,
        count: int,
        state: StateDir,
        snapshot: Callable[[], Snapshot],
        load: Callable[[LoadModel], Awaitable[LoadedModel]],
        uses: Callable[[WantModel | Stats], None],
        logger: Logger,
    ) -> None:
        """Takes the port. Raises NodeError."""
        self._listeners = listen(node.host, node.ports.functions, "ports.functions in [node]", count)
        self.port: int = self._listeners[0].getsockname()[1]
        self._edges = [
            Edge(
                Start(
                    index=index,
                    listen_fd=listener.fileno(),
                    host=node.host,
                    port=self.port,
                    state_dir=str(state.path),
                    run_dir=str(state.run),
                ),
                snapshot,
                load,
                uses,
                logger,
            )
            for index, listener in enumerate(self._listeners)
        ]

    async def start(self) -> None:
        """Start all, and wait until they serve. Raises NodeError, with how the first one failed."""
        for edge in self._edges:
            edge.run()
        await asyncio.gather(*(self._started(edge) for edge in self._edges))

    async def _started(self, edge: Edge) -> None:
        def decided() -> bool:
            return edge.restarts >= STARTS or (edge.listening and edge.applied > 0) or edge.refused

        await edge.until(decided, START_SECONDS)
        if not (edge.listening and edge.applied):
            raise NodeError(
                f"the edge worker {edge.index} does not start",
                cause=edge.failure.explain() if edge.failure else f"it took longer than {START_SECONDS:g} s",
                remedy="what it wrote above says more; `wasmind doctor` looks at this machine",
            )

    def tell(self, message: ModelState) -> None:
        """Send all a message."""
        for edge in self._edges:
            edge.send(message)

    async def apply(self, snapshot: Snapshot) -> None:
        """Send all a new snapshot and wait until they serve it. Raises NodeError if one refuses it."""
        for edge in self._edges:
            edge.offer(snapshot)
        await asyncio.gather(*(edge.has_applied(snapshot.generation, APPLY_SECONDS) for edge in self._edges))
        for edge in self._edges:
            if edge.failure:
                raise edge.failure

    async def released(self, generation: int) -> None:
        """Wait until no request runs on `generation` or an older one."""
        await asyncio.gather(*(edge.has_released(generation) for edge in self._edges))

    async def drain(self, seconds: float) -> None:
        """Accept no more, let all finish, see them end."""
        while self._listeners:
            with self._listeners.pop() as listener:
                deafen(listener)
        await asyncio.gather(*(edge.drain(seconds) for edge in self._edges))

    def kill(self) -> None:
        """End all now."""
        for edge in self._edges:
            edge.kill()

    @property
    def problems(self) -> tuple[str, ...]:
        """Which do not serve, and why."""
        return tuple(
            edge.failure.explain() if edge.failure else f"the edge worker {edge.index} is starting"
            for edge in self._edges
            if edge.failure or not edge.listening
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What the sandboxes' engine lacks on this machine."""
        return tuple(dict.fromkeys(note for edge in self._edges for note in edge.notes))

    def status(self) -> tuple[EdgeStatus, ...]:
        """How each is."""
        return tuple(edge.status() for edge in self._edges)

    @property
    def restarts(self) -> int:
        """Deaths of edge workers since the node started."""
        return sum(edge.restarts for edge in self._edges)
