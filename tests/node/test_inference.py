"""The inference processes' ports: taken when somebody may call, any of them in dev mode."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
import structlog

from support.edges import snapshot
from wasmind.config import Node, Ports
from wasmind.errors import NodeError
from wasmind.node.inference import Inference
from wasmind.node.messages import Managed, ManageModel
from wasmind.node.state import StateDir

if TYPE_CHECKING:
    pass


def inference(state: StateDir, rest: int = 0, count: int = 1, *, dev: bool = False) -> Inference:
    node = Node(dev=dev, ports=Ports(oip_rest=rest, oip_grpc=0))
    return Inference(node, count, state, snapshot, _unasked, lambda _: None, structlog.get_logger())


async def _unasked(message: ManageModel) -> Managed:
    raise AssertionError(message)


async def test_nothing_is_there_while_nobody_may_call(state: StateDir) -> None:
    made = inference(state)
    await made.group.start()
    await made.apply(snapshot(generation=2))
    await made.group.released(1)
    assert (made.rest_port, made.grpc_port, made.group.status()) == (None, None, ())
    await made.group.drain(0.0)


async def test_both_ports_are_taken_once(state: StateDir) -> None:
    made = inference(state, count=2)
    made.open()
    ports = made.rest_port, made.grpc_port
    assert None not in ports
    made.open()
    assert (made.rest_port, made.grpc_port) == ports
    assert len(made.group.status()) == 2
    assert made.group.problems == (
        "the inference process 0 is starting",
        "the inference process 1 is starting",
    )
    for port in ports:
        socket.create_connection(("127.0.0.1", port or 0)).close()
    await made.group.drain(0.0)


async def test_a_port_that_is_taken_is_an_obstacle_but_in_dev_mode(state: StateDir) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(NodeError, match=f"port {port} ") as refused:
            inference(state, port).open()
        assert "ports.oip_rest in [node]" in (refused.value.remedy or "")
        made = inference(state, port, dev=True)
        made.open()
        assert made.rest_port not in (None, port)
        await made.group.drain(0.0)
