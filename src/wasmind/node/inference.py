"""The inference process: started where somebody may call it, told, watched, drained."""

from __future__ import annotations

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
"""If it dies so often before it ever serves, it keeps the node from starting."""


class Inference:
    """Serves the node's models by the Open Inference Protocol, in a process of its own."""

    def __init__(
        self,
        node: Node,
        state: StateDir,
        snapshot: Callable[[], Snapshot],
        manage: Callable[[ManageModel], Awaitable[Managed]],
        uses: Callable[[WantModel | Stats], None],
        logger: Logger,
    ) -> None:
        """`snapshot` gives what it is told when it starts; `manage` loads and unloads models for it; `uses`
        hears which models are used.
        """
        self._node = node
        self._state = state
        self._snapshot = snapshot
        self._manage = manage
        self._uses = uses
        self._logger = logger
        self._sockets: list[socket.socket] = []
        self._edge: Edge | None = None
        self.rest_port: int | None = None
        """Where it serves REST; None while nobody may call."""
        self.grpc_port: int | None = None

    def open(self) -> None:
        """Take its ports. Raises NodeError."""
        if self._edge is not None:
            return
        node = self._node
        for port in ("oip_rest", "oip_grpc"):
            self._sockets += listen(node.host, getattr(node.ports, port), f"ports.{port} in [node]")
        self.rest_port, self.grpc_port = (one.getsockname()[1] for one in self._sockets)
        start = Start(
            index=0,
            listen_fd=self._sockets[0].fileno(),
            host=node.host,
            port=self.rest_port or 0,
            grpc_fd=self._sockets[1].fileno(),
            state_dir=str(self._state.path),
            run_dir=str(self._state.run),
        )
        self._edge = Edge(
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
        """Start it, if its ports were taken, and wait until it serves. Raises NodeError."""
        edge = self._edge
        if edge is None:
            return
        edge.run()
        await edge.until(
            lambda: edge.restarts >= STARTS or edge.refused or (edge.listening and edge.applied > 0),
            START_SECONDS,
        )
        if not (edge.listening and edge.applied):
            raise NodeError(
                "the inference process does not start",
                cause=edge.failure.explain() if edge.failure else f"it took longer than {START_SECONDS:g} s",
                remedy="what it wrote above says more",
            )

    async def apply(self, snapshot: Snapshot) -> None:
        """Have it serve a newer snapshot; it is started if somebody may call now. Raises NodeError."""
        edge = self._edge
        if edge is None:
            if snapshot.inference is not None:
                self.open()
                await self.start()
            return
        edge.offer(snapshot)
        await edge.has_applied(snapshot.generation, START_SECONDS)
        if edge.failure:
            raise edge.failure

    def tell(self, message: ModelState) -> None:
        """Send it a message."""
        if self._edge is not None:
            self._edge.send(message)

    async def released(self, generation: int) -> None:
        """Wait until no request of it runs on `generation` or an older one."""
        if self._edge is not None:
            await self._edge.has_released(generation)

    async def drain(self, seconds: float) -> None:
        """Accept no more, let all finish, see it end."""
        while self._sockets:
            with self._sockets.pop() as listener:
                deafen(listener)
        if self._edge is not None:
            await self._edge.drain(seconds)

    def kill(self) -> None:
        """End it now."""
        if self._edge is not None:
            self._edge.kill()

    @property
    def problems(self) -> tuple[str, ...]:
        """Why it does not serve, though it should."""
        edge = self._edge
        if edge is None or (edge.listening and not edge.failure):
            return ()
        return (edge.failure.explain() if edge.failure else "the inference process is starting",)

    @property
    def notes(self) -> tuple[str, ...]:
        """What it lacks on this machine."""
        return self._edge.notes if self._edge is not None else ()

    def status(self) -> EdgeStatus | None:
        """How it is; None while nobody may call."""
        return self._edge.status() if self._edge is not None else None


async def _load_nothing(question: LoadModel) -> LoadedModel:
    refusal = NodeError("the inference process brings no models")
    return LoadedModel(request=question.request, failure=Failure.of(refusal))
