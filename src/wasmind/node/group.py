"""Processes that serve the same ports: as one they are started, told, waited for and drained."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from wasmind.errors import NodeError
from wasmind.node.edge import START_SECONDS
from wasmind.node.listen import deafen

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from wasmind.node.edge import Edge
    from wasmind.node.messages import ModelState, Snapshot
    from wasmind.node.status import EdgeStatus

APPLY_SECONDS = 60.0
"""How long a process may take to apply a snapshot."""
STARTS = 2
"""One that dies so often before it ever serves keeps the node from starting."""


class Group:
    """The node's processes of one kind. Their listening sockets are kept over their restarts."""

    def __init__(self, remedy: str) -> None:
        """Empty; `remedy` is what to do about a process that does not start."""
        self._remedy = remedy
        self._listeners: list[socket.socket] = []
        self._edges: tuple[Edge, ...] = ()

    def __bool__(self) -> bool:
        return bool(self._edges)

    def enlist(self, edges: Iterable[Edge], listeners: Iterable[socket.socket]) -> None:
        """Have these processes, not yet started, and the sockets that they accept from."""
        self._edges += tuple(edges)
        self._listeners += listeners

    async def start(self) -> None:
        """Start all, and wait until they serve. Raises NodeError, with how the first one failed."""
        for edge in self._edges:
            edge.run()
        await asyncio.gather(*map(self._started, self._edges))

    async def _started(self, edge: Edge) -> None:
        def decided() -> bool:
            return edge.restarts >= STARTS or (edge.listening and edge.applied > 0) or edge.refused

        await edge.until(decided, START_SECONDS)
        if not (edge.listening and edge.applied):
            raise NodeError(
                f"the {edge.title} does not start",
                cause=edge.failure.explain() if edge.failure else f"it took longer than {START_SECONDS:g} s",
                remedy=self._remedy,
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
            edge.failure.explain() if edge.failure else f"the {edge.title} is starting"
            for edge in self._edges
            if edge.failure or not edge.listening
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What they lack on this machine."""
        return tuple(dict.fromkeys(note for edge in self._edges for note in edge.notes))

    def status(self) -> tuple[EdgeStatus, ...]:
        """How each is."""
        return tuple(edge.status() for edge in self._edges)
