"""The control process under its supervisor: kept running, and stopped."""

from __future__ import annotations

import asyncio
import http.client
import os
from typing import TYPE_CHECKING

import pytest
import structlog

from support.nodes import await_end, children, kill
from wasmind.config import Node, Ports
from wasmind.node.control import Control
from wasmind.node.state import StateDir

if TYPE_CHECKING:
    from pathlib import Path


async def reachable(port: int) -> int:
    """What the API answers at /healthz, once it answers."""

    def ask() -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


@pytest.mark.slow
async def test_it_is_kept_running_and_stopped(tmp_path: Path) -> None:
    state = StateDir.take(tmp_path)
    control = Control(Node(ports=Ports(api=0)), state, structlog.get_logger())
    control.run()
    assert await reachable(control.port) == 503, "no supervisor answers on the state directory"
    (pid,) = children(os.getpid(), "wasmind.control")
    kill(pid)
    assert await reachable(control.port) == 503, "its successor answers on the same port"
    assert control.restarts == 1
    (successor,) = children(os.getpid(), "wasmind.control")
    assert successor != pid
    await control.stop()
    await_end([successor])
    assert control.restarts == 1, "an end that was asked for is no death"
    state.release()


async def test_it_ends_by_itself_when_its_supervisor_is_gone(tmp_path: Path) -> None:
    state = StateDir.take(tmp_path)
    control = Control(Node(ports=Ports(api=0)), state, structlog.get_logger())
    control.run()
    await reachable(control.port)
    (pid,) = children(os.getpid(), "wasmind.control")
    task = control._task
    assert task
    task.cancel()  # closes the lifeline, as the supervisor's death does
    await asyncio.to_thread(await_end, [pid])
    await control.stop()
    state.release()
