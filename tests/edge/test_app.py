"""Requests through the application of an edge worker, in this process."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest
import structlog

from support.edges import component, function, snapshot
from support.garbage import leaves_nothing
from support.toolchains import WIT, c
from wasmind.config import Limits
from wasmind.edge.admission import Admission
from wasmind.edge.app import App
from wasmind.edge.deployment import Deployment
from wasmind.httpd.server import HttpServer
from wasmind.models.loads import Loads
from wasmind.models.node import NodeModels
from wasmind.telemetry.figures import EdgeFigures
from wasmind.telemetry.metrics import Registry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from wasmind.sandbox import Engine

LIMITS = Limits(cpu_ms=50, wall_ms=200, request_body=1000)


@pytest.fixture
async def port(engine: Engine, tmp_path: Path) -> AsyncIterator[int]:
    """Where a command and a component are served."""
    figures = EdgeFigures(Registry(tmp_path))
    models = NodeModels(Loads(tmp_path, lambda _: None, figures), figures)
    deployment = Deployment(engine, models, figures, lambda _: None)
    served = component("c", c("server", WIT, "http"), limits=LIMITS, routes=("/hello", "/trap"))
    await deployment.apply(snapshot(function("f", limits=LIMITS), served))
    app = App(deployment, Admission(10), figures, structlog.get_logger())
    listener = socket.create_server(("127.0.0.1", 0))
    server = HttpServer(app, app.refused, listener, header_timeout_ms=5000.0, connections=10)
    await server.start()
    yield listener.getsockname()[1]
    server.stop()
    server.abort()
    await server.wait()
    await models.close()
    deployment.close()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/f/hello", b"200"),
        ("/hello", b"201"),
        ("/f/trap", b"502"),
        ("/trap", b"502"),
        ("/f/exit", b"502"),
        ("/f/nonsense", b"502"),
        ("/f/silent", b"502"),
        ("/f/late-trap", b"200"),
        ("/f/spin", b"504"),
        ("/f/sleep?1000", b"504"),
        ("/nowhere", b"404"),
    ],
)
async def test_what_a_request_made_is_freed_with_it(port: int, path: str, status: bytes) -> None:
    """Also one that failed, whose error has seen all of it."""

    async def ask() -> None:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.setblocking(False)
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
            await asyncio.get_running_loop().sock_sendall(client, head.encode())
            answer = await asyncio.get_running_loop().sock_recv(client, 4096)
        assert answer[9:12] == status, answer
        await asyncio.sleep(0.01)

    await leaves_nothing(ask)


@pytest.mark.parametrize("path", ["/f/count", "/f/sleep?1000", "/hello"])
async def test_what_a_request_made_is_freed_when_its_client_leaves(port: int, path: str) -> None:
    async def leave() -> None:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.setblocking(False)
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\nhello"
            await asyncio.get_running_loop().sock_sendall(client, head.encode())
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.02)

    await leaves_nothing(leave)
