"""What the inference process serves: both ports, on the models that the supervisor tells of."""

from __future__ import annotations

import asyncio
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from wasmind.httpd.drain import drain
from wasmind.httpd.server import HttpServer
from wasmind.inference.rest import RestApp
from wasmind.inference.service import Service
from wasmind.models.loads import Loads
from wasmind.models.node import NodeModels
from wasmind.node.messages import Managed, ModelState, Released, Stats, WantModel
from wasmind.telemetry import logs
from wasmind.telemetry.figures import OipFigures
from wasmind.telemetry.metrics import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.httpd.grpc_server import GrpcServer
    from wasmind.node.messages import FromEdge, LoadedModel, Snapshot, Start

FIGURES_S = 1.0
"""How often figures are written for whoever scrapes them, and told to the supervisor."""
SPARE_CONNECTIONS = 1024
"""Connections beyond the requests at once: idle ones, and those that are refused."""
STREAMS = 256
"""Calls at once of one gRPC connection; a client makes the others wait."""
WITHOUT_GRPC = "inference by gRPC is not served: pip install 'wasmind[kserve]'"


class Serving:
    """Made from the first snapshot, which `apply` is given too (a `node.worker.Serving`)."""

    def __init__(self, start: Start, snapshot: Snapshot, send: Callable[[FromEdge], None]) -> None:
        """`send` tells the supervisor something."""
        node = snapshot.node
        self._start = start
        self._send = send
        self._node = node
        self._generation = 0
        self._registry = Registry(Path(start.run_dir) / "metrics")
        self._figures = OipFigures(self._registry)
        logger = logs.configure(node.log, node.log_level, process="inference")
        loads = Loads(Path(start.state_dir) / "uploads", send, self._figures)
        self._models = NodeModels(loads, self._figures, self._wants)
        self._service = Service(self._models, self._figures, logger, send, self._released)
        app = RestApp(self._service)
        self._http = HttpServer(
            app,
            app.refused,
            socket.socket(fileno=start.listen_fd),
            header_timeout_ms=node.header_timeout_ms,
            connections=node.concurrency + SPARE_CONNECTIONS,
        )
        self._grpc: GrpcServer | None = None
        self._told: Stats | None = None
        self._ticking: asyncio.Task[None] | None = None

    async def open(self) -> tuple[str, ...] | None:
        """Accept connections from now on: what is missing for that; None if it did so before."""
        if self._ticking is not None:
            return None
        await self._http.start()
        notes = await self._open_grpc()
        self._ticking = asyncio.create_task(self._tick())
        return notes

    async def _open_grpc(self) -> tuple[str, ...]:
        fd, node, limits = self._start.grpc_fd, self._node, self._service.limits
        if fd is None or any(find_spec(package) is None for package in ("hpack", "open_inference")):
            return (WITHOUT_GRPC,)
        from wasmind.httpd.grpc_server import GrpcServer
        from wasmind.inference.grpc import GrpcApp

        self._grpc = GrpcServer(
            GrpcApp(self._service),
            socket.socket(fileno=fd),
            most=int(limits.request_body),
            streams=STREAMS,
            connections=node.concurrency + SPARE_CONNECTIONS,
            head_s=node.header_timeout_ms / 1000,
            stall_s=limits.body_stall_ms / 1000,
        )
        await self._grpc.start()
        return ()

    async def apply(self, snapshot: Snapshot) -> None:
        """Serve this snapshot from now on."""
        self._node = snapshot.node
        self._generation = snapshot.generation
        self._service.apply(snapshot)

    def take(self, message: ModelState | LoadedModel | Managed) -> None:
        """The supervisor tells something."""
        if isinstance(message, ModelState):
            self._models.update(message.model)
        elif isinstance(message, Managed):
            self._service.told(message)

    async def drain(self, deadline_ms: float | None) -> int:
        """Finish what was accepted and free everything; how many requests the deadline cut."""
        self._service.stopping = True
        seconds = (self._node.drain_ms if deadline_ms is None else deadline_ms) / 1000
        cut = sum(await asyncio.gather(drain(self._http, seconds), self._drain_grpc(seconds)))
        if self._ticking is not None:
            self._ticking.cancel()
        await self._models.close()
        self._write_figures()
        self._registry.close()
        return cut

    async def _drain_grpc(self, seconds: float) -> int:
        return await self._grpc.stop(seconds) if self._grpc is not None else 0

    def _wants(self, id_: str, tenant: str) -> None:
        self._send(WantModel(id=id_, tenant=tenant))

    def _released(self, generation: int) -> None:
        self._send(Released(generation=generation))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(FIGURES_S)
            self._write_figures()

    def _write_figures(self) -> None:
        service = self._service
        stats = Stats(
            generation=self._generation,
            requests=service.ended,
            running=service.running,
            guests=0,
            used=self._models.used(),
        )
        self._figures.running.value = stats.running
        self._registry.flush()
        if stats != self._told:
            self._told = stats
            self._send(stats)
