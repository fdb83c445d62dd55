"""An edge worker's talk with its supervisor, where it goes wrong; tests/e2e/test_life.py shows it go well."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from support.edges import function, listening_socket, snapshot
from support.http import ask
from wasmind.edge.serving import Serving
from wasmind.errors import NodeError
from wasmind.node.messages import (
    Applied,
    Drain,
    Drained,
    FromEdge,
    Hello,
    Listening,
    LoadedModel,
    Start,
    ToEdge,
)
from wasmind.node.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Supervisor:
    """Says what the test says, and hears what the worker tells."""

    def __init__(self) -> None:
        self.heard: list[FromEdge] = []
        self._said: asyncio.Queue[ToEdge | None] = asyncio.Queue()

    def say(self, *messages: ToEdge | None) -> None:
        """Say these; None: hang up."""
        for message in messages:
            self._said.put_nowait(message)

    async def messages(self) -> AsyncIterator[ToEdge]:
        while (message := await self._said.get()) is not None:
            yield message

    async def run(self) -> Worker:
        worker = Worker(self.heard.append, Serving)
        await asyncio.wait_for(worker.run(self.messages()), 20)
        return worker

    async def hears(self, kind: type[FromEdge]) -> None:
        async with asyncio.timeout(20):
            while not any(isinstance(message, kind) for message in self.heard):
                await asyncio.sleep(0.01)


def start(directory: Path, listen_fd: int, port: int) -> Start:
    (directory / "metrics").mkdir()
    return Start(
        index=0,
        listen_fd=listen_fd,
        host="127.0.0.1",
        port=port,
        state_dir=str(directory),
        run_dir=str(directory),
    )


async def test_it_greets_and_ends_when_nobody_is_there() -> None:
    supervisor = Supervisor()
    supervisor.say(None)
    await supervisor.run()
    assert supervisor.heard == [Hello(pid=os.getpid())]


async def test_it_can_be_stopped_before_it_serves() -> None:
    supervisor = Supervisor()
    worker = Worker(supervisor.heard.append, Serving)
    running = asyncio.create_task(worker.run(supervisor.messages()))
    await asyncio.sleep(0.01)
    worker.stop()
    await asyncio.wait_for(running, 5)


async def test_a_snapshot_before_the_start_is_a_mistake() -> None:
    supervisor = Supervisor()
    supervisor.say(snapshot(function("f", "hello.wat")))
    with pytest.raises(NodeError, match="Start"):
        await supervisor.run()


async def test_an_answer_before_a_snapshot_is_a_mistake() -> None:
    supervisor = Supervisor()
    supervisor.say(LoadedModel(request=1))
    with pytest.raises(NodeError, match="LoadedModel"):
        await supervisor.run()


async def test_a_whole_life(tmp_path: Path) -> None:
    supervisor = Supervisor()
    with listening_socket() as listener:
        port = listener.getsockname()[1]
        supervisor.say(start(tmp_path, listener.fileno(), port))
        supervisor.say(snapshot(function("f", "hello.wat")))
        running = asyncio.create_task(supervisor.run())
        await supervisor.hears(Listening)
        assert (await ask(port, path="/f/")).body == b"hello\n"
        supervisor.say(snapshot(function("g", "hello.wat"), generation=2))
        supervisor.say(Drain(deadline_ms=2_000))
        await running
        listener.detach()  # the worker has closed it
    assert [m.generation for m in supervisor.heard if isinstance(m, Applied)] == [1, 2]
    assert supervisor.heard[-1] == Drained(cut=0)
    assert sum(isinstance(message, Listening) for message in supervisor.heard) == 1
