"""The inference processes: started where somebody may call them, told, watched, drained."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from wasmind.errors import NodeError
from wasmind.node.edge import START_SECONDS, Edge
from wasmind.node.listen import deafen, listen
from wasmind.node.messages import LoadedModel, LoadModel, Start
from wasmind.node.words import Failure

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from wasmind.config import Node
    from wasmind.node.messages import Managed, ManageModel, ModelState, Snapshot, Stats, WantModel
    from wasmind.node.state import StateDir
    from wasmind.node.status import EdgeStatus
    from wasmind.telemetry.logs import Logger

STARTS = 2
"""One that dies so often before it ever serves keeps the node from starting."""


class Inference:
    """Serves the node's models by the Open Inference Protocol, in processes of its own."""

    def __init__(
        self,
        node: Node,
        count: int,
        state: StateDir,
        snapshot: Callable[[], Snapshot],
        manage: Callable[[ManageModel], Awaitable[Managed]],
        uses: Callable[[WantModel | Stats], None],
        logger: Logger,
    ) -> None:
        """`count` processes, started by `open` and `start`.

        `snapshot` gives what they are told at first; `manage` loads and unloads models for them; `uses` hears
        which models are used.
        """
        self._node = node
        self._count = count
        self._state = state
        self._snapshot = snapshot
        self._manage = manage
        self._uses = uses
        self._logger = logger
        self._sockets: list[socket.socket] = []
        self._edges: tuple[Edge, ...] = ()
        self.rest_port: int | None = None
        """Where it serves REST; None while nobody may call."""
        self.grpc_port: int | None = None

    def open(self) -> None:
        """Take the ports. Raises NodeError."""
        if self._edges:
            return
        rest, grpc = self._listen("oip_rest"), self._listen("oip_grpc")
        self._sockets += [*rest, *grpc]
        self.rest_port, self.grpc_port = rest[0].getsockname()[1], grpc[0].getsockname()[1]
        self._edges = tuple(
            self._edge(index, *pair) for index, pair in enumerate(zip(rest, grpc, strict=True))
        )

    def _listen(self, name: str) -> list[socket.socket]:
        """In dev mode any port will do where the usual one is taken: nobody is known to call it yet."""
        node, setting = self._node, f"ports.{name} in [node]"
        try:
            return listen(node.host, getattr(node.ports, name), setting, self._count)
        except NodeError as error:
            if not node.dev:
                raise
            self._logger.warning("another port is used for inference", **error.as_dict())
            return listen(node.host, 0, setting, self._count)

    def _edge(self, index: int, rest: socket.socket, grpc: socket.socket) -> Edge:
        start = Start(
            index=index,
            listen_fd=rest.fileno(),
            grpc_fd=grpc.fileno(),
            host=self._node.host,
            port=self.rest_port or 0,
            state_dir=str(self._state.path),
            run_dir=str(self._state.run),
        )
        return Edge(
            start,
            self._snapshot,
            _load_nothing,
            self._uses,
            self._logger,
            module="wasmind.inference",
            kind="inference process",
            manage=self._manage,
        )

    async def start(self) -> None:
        """Start the processes, if the ports were taken, and wait until they serve. Raises NodeError."""
        for edge in self._edges:
            edge.run()
        await asyncio.gather(*map(_started, self._edges))

    async def apply(self, snapshot: Snapshot) -> None:
        """Have them serve a newer snapshot; they are started if somebody may call now. Raises NodeError."""
        if not self._edges:
            if snapshot.inference is not None:
                self.open()
                await self.start()
            return
        for edge in self._edges:
            edge.offer(snapshot)
        await asyncio.gather(*(edge.has_applied(snapshot.generation, START_SECONDS) for edge in self._edges))
        for edge in self._edges:
            if edge.failure:
                raise edge.failure

    def tell(self, message: ModelState) -> None:
        """Send all a message."""
        for edge in self._edges:
            edge.send(message)

    async def released(self, generation: int) -> None:
        """Wait until no request runs on `generation` or an older one."""
        await asyncio.gather(*(edge.has_released(generation) for edge in self._edges))

    async def drain(self, seconds: float) -> None:
        """Accept no more, let all finish, see them end."""
        while self._sockets:
            with self._sockets.pop() as listener:
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
            edge.failure.explain() if edge.failure else f"the inference process {edge.index} is starting"
            for edge in self._edges
            if edge.failure or not edge.listening
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What they lack on this machine."""
        return tuple(dict.fromkeys(note for edge in self._edges for note in edge.notes))

    def status(self) -> tuple[EdgeStatus, ...]:
        """How each is; empty while nobody may call."""
        return tuple(edge.status() for edge in self._edges)


async def _started(edge: Edge) -> None:
    await edge.until(
        lambda: edge.restarts >= STARTS or edge.refused or (edge.listening and edge.applied > 0),
        START_SECONDS,
    )
    if not (edge.listening and edge.applied):
        raise NodeError(
            f"the inference process {edge.index} does not start",
            cause=edge.failure.explain() if edge.failure else f"it took longer than {START_SECONDS:g} s",
            remedy="what it wrote above says more",
        )


async def _load_nothing(question: LoadModel) -> LoadedModel:
    refusal = NodeError("the inference process brings no models")
    return LoadedModel(request=question.request, failure=Failure.of(refusal))
