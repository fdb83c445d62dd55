"""The inference processes: they listen where models are called from outside, if anybody may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmind.errors import NodeError
from wasmind.node.edge import Edge
from wasmind.node.group import Group
from wasmind.node.listen import listen
from wasmind.node.messages import LoadedModel, LoadModel, Start
from wasmind.node.words import Failure

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from wasmind.config import Node
    from wasmind.node.messages import Managed, ManageModel, Snapshot, Stats, WantModel
    from wasmind.node.state import StateDir
    from wasmind.telemetry.logs import Logger


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
        """`count` processes, there from `open` on.

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
        self.group = Group("what it wrote above says more")
        self.rest_port: int | None = None
        """Where it serves REST; None while nobody may call."""
        self.grpc_port: int | None = None

    def open(self) -> None:
        """Take the ports. Raises NodeError."""
        if self.group:
            return
        rest, grpc = self._listen("oip_rest"), self._listen("oip_grpc")
        self.rest_port, self.grpc_port = rest[0].getsockname()[1], grpc[0].getsockname()[1]
        pairs = enumerate(zip(rest, grpc, strict=True))
        self.group.enlist((self._edge(index, *pair) for index, pair in pairs), [*rest, *grpc])

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

    async def apply(self, snapshot: Snapshot) -> None:
        """Have them serve a newer snapshot; they are started if somebody may call now. Raises NodeError."""
        if self.group:
            await self.group.apply(snapshot)
        elif snapshot.inference is not None:
            self.open()
            await self.group.start()


async def _load_nothing(question: LoadModel) -> LoadedModel:
    refusal = NodeError("the inference process brings no models")
    return LoadedModel(request=question.request, failure=Failure.of(refusal))
