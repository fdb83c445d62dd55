"""The edge workers' port: one for all of them, taken at once."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
import structlog

from wasmind.config import Node, Ports
from wasmind.errors import NodeError
from wasmind.node.edges import Edges
from wasmind.node.messages import LoadedModel, LoadModel, Snapshot
from wasmind.node.state import StateDir

if TYPE_CHECKING:
    pass


def edges(state: StateDir, port: int, count: int = 1) -> Edges:
    node = Node(ports=Ports(functions=port))
    return Edges(node, count, state, _unasked, _unasked_too, lambda _: None, structlog.get_logger())


def _unasked() -> Snapshot:
    raise AssertionError


async def _unasked_too(message: LoadModel) -> LoadedModel:
    raise AssertionError(message)


async def test_the_port_is_open_before_any_of_them_runs(state: StateDir) -> None:
    made = edges(state, 0, 2)
    socket.create_connection(("127.0.0.1", made.port)).close()
    assert [edge.state for edge in made.group.status()] == ["restarting"] * 2
    await made.group.drain(0.0)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", made.port))


async def test_a_port_that_is_taken_is_refused_by_its_setting(state: StateDir) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(NodeError, match=f"port {port} ") as refused:
            edges(state, port)
    assert "ports.functions in [node]" in (refused.value.remedy or "")
