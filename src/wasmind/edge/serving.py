"""What serves requests in this process: the engine, the deployment, the application and the HTTP server."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from wasmind.backends.vigil import Vigil
from wasmind.edge.admission import Admission
from wasmind.edge.app import App
from wasmind.edge.deployment import Deployment
from wasmind.httpd.drain import drain
from wasmind.httpd.server import HttpServer
from wasmind.models.loads import Loads
from wasmind.models.node import NodeModels
from wasmind.node.messages import FromEdge, LoadedModel, ModelState, Released, Stats, WantModel
from wasmind.sandbox import Engine
from wasmind.telemetry import logs
from wasmind.telemetry.figures import EdgeFigures
from wasmind.telemetry.metrics import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.node.messages import Managed, Snapshot, Start

FIGURES_S = 1.0
"""How often figures are written for whoever scrapes them, and told to the supervisor."""
ALONE = 8
"""After more requests in a row than this, each served alone, the next one most likely is alone too."""
SPARE_CONNECTIONS = 1024
"""Connections beyond the requests at once: idle ones, and those that are told 503."""


class Serving:
    """Made from the first snapshot; later ones are given to `deployment`."""

    def __init__(self, start: Start, snapshot: Snapshot, send: Callable[[FromEdge], None]) -> None:
        """`send` tells the supervisor something."""
        node = snapshot.node
        self._send = send
        self._node = node
        self._registry = Registry(Path(start.run_dir) / "metrics")
        self._figures = EdgeFigures(self._registry)
        self.engine = Engine(node.tick_ms, stack=node.stack)
        self.loads = Loads(Path(start.state_dir) / "uploads", send, self._figures)
        self.admission = Admission(node.concurrency)
        vigil = Vigil(lambda: self.admission.alone > ALONE)
        self.models = NodeModels(self.loads, self._figures, self._wants, vigil)
        self.deployment = Deployment(self.engine, self.models, self._figures, self._released)
        logger = logs.configure(node.log, node.log_level, process=f"edge {start.index}")
        self.app = App(self.deployment, self.admission, self._figures, logger)
        self._server = HttpServer(
            self.app,
            self.app.refused,
            socket.socket(fileno=start.listen_fd),
            header_timeout_ms=node.header_timeout_ms,
            connections=node.concurrency + SPARE_CONNECTIONS,
        )
        self._told: Stats | None = None
        self._ticking: asyncio.Task[None] | None = None

    async def open(self) -> tuple[str, ...] | None:
        """Accept connections from now on: what the engine lacks on this machine; None if it did so before."""
        if self._ticking is not None:
            return None
        await self._server.start()
        self._ticking = asyncio.create_task(self._tick())
        return tuple(self.engine.notes)

    async def apply(self, snapshot: Snapshot) -> None:
        """Serve this snapshot from now on. Raises ProgramError; then nothing has changed."""
        await self.deployment.apply(snapshot)
        self._node = node = snapshot.node
        self.admission.node.limit = node.concurrency

    def take(self, message: ModelState | LoadedModel | Managed) -> None:
        """The supervisor tells something."""
        if isinstance(message, ModelState):
            self.models.update(message.model)
        elif isinstance(message, LoadedModel):
            self.loads.answered(message)

    async def drain(self, deadline_ms: float | None) -> int:
        """Finish what was accepted and free everything; how many requests the deadline cut."""
        cut = await drain(self._server, (self._node.drain_ms if deadline_ms is None else deadline_ms) / 1000)
        await self._close()
        return cut

    async def _close(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
        await self.models.close()
        self.deployment.close()
        self._write_figures()
        self._registry.close()
        self.engine.close()

    def _released(self, generation: int) -> None:
        self._send(Released(generation=generation))

    def _wants(self, id_: str, tenant: str) -> None:
        self._send(WantModel(id=id_, tenant=tenant))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(FIGURES_S)
            self.deployment.expire()
            self._write_figures()

    def _write_figures(self) -> None:
        stats = Stats(
            generation=self.deployment.generation,
            requests=self.app.ended,
            running=self.admission.node.taken,
            guests=self.engine.live - self.engine.spares,
            used=self.models.used(),
        )
        self._figures.running.value, self._figures.guests.value = stats.running, stats.guests
        self._registry.flush()
        if stats != self._told:
            self._told = stats
            self._send(stats)
