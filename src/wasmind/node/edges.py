"""The edge workers: they listen where the node's functions are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmind.node.edge import Edge
from wasmind.node.group import Group
from wasmind.node.listen import listen
from wasmind.node.messages import Start

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wasmind.config import Node
    from wasmind.node.messages import LoadedModel, LoadModel, Snapshot, Stats, WantModel
    from wasmind.node.state import StateDir
    from wasmind.telemetry.logs import Logger


class Edges:
    """The edge workers, each with a listening socket of its own."""

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
        listeners = listen(node.host, node.ports.functions, "ports.functions in [node]", count)
        self.port: int = listeners[0].getsockname()[1]
        self.group = Group("what it wrote above says more; `wasmind doctor` looks at this machine")
        starts = (
            Start(
                index=index,
                listen_fd=listener.fileno(),
                host=node.host,
                port=self.port,
                state_dir=str(state.path),
                run_dir=str(state.run),
            )
            for index, listener in enumerate(listeners)
        )
        self.group.enlist((Edge(start, snapshot, load, uses, logger) for start in starts), listeners)
