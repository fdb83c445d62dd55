"""Processes under their supervisor, here edge workers: started, told, restarted, refused, drained."""

from __future__ import annotations

import asyncio
import http.client
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import structlog

from support.edges import function, snapshot
from support.nodes import alive, kill
from wasmind.config import Node, Ports
from wasmind.errors import NodeError, ProgramError
from wasmind.node.edges import Edges
from wasmind.node.messages import LoadedModel, LoadModel, Snapshot, Stats, WantModel
from wasmind.node.state import StateDir
from wasmind.node.words import Failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


class Supervised:
    """Edge workers, and what they are to serve."""

    def __init__(self, directory: Path, first: Snapshot, count: int = 1) -> None:
        self.state = StateDir.take(directory / "state")
        self.now = first
        self.asked: list[LoadModel] = []
        node = Node(ports=Ports(functions=0))
        self.uses: list[WantModel | Stats] = []
        edges = Edges(
            node, count, self.state, lambda: self.now, self._load, self.uses.append, structlog.get_logger()
        )
        self.port, self.group = edges.port, edges.group

    async def _load(self, message: LoadModel) -> LoadedModel:
        self.asked.append(message)
        return LoadedModel(
            request=message.request, failure=Failure(code="model-load-failed", message="not today")
        )

    async def get(self, path: str) -> tuple[int, str]:
        def ask() -> tuple[int, str]:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            try:
                connection.request("GET", path)
                response = connection.getresponse()
                return response.status, response.read().decode()
            finally:
                connection.close()

        return await asyncio.to_thread(ask)

    async def apply(self, new: Snapshot) -> None:
        self.now = new
        await self.group.apply(new)

    async def until(self, holds: Callable[[], Any]) -> None:
        async with asyncio.timeout(20):
            while not holds():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def supervised(directory: Path, count: int = 1) -> AsyncIterator[Supervised]:
    found = Supervised(directory, snapshot(function("f")), count)
    try:
        await found.group.start()
        yield found
    finally:
        await found.group.drain(1.0)
        found.state.release()


async def test_they_start_serve_and_drain(tmp_path: Path) -> None:
    async with supervised(tmp_path, 2) as found:
        assert found.group.problems == ()
        assert [edge.state for edge in found.group.status()] == ["serving", "serving"]
        pids = [edge.pid for edge in found.group.status()]
        assert {await found.get("/f/hello") for _ in range(8)} == {(200, "hello\n")}
        await found.group.drain(1.0)
        assert not [pid for pid in pids if pid and alive(pid)]
        with pytest.raises(ConnectionRefusedError):
            await found.get("/f/hello")


async def test_one_that_dies_is_replaced_and_serves_the_newest_snapshot(tmp_path: Path) -> None:
    async with supervised(tmp_path) as found:
        await found.apply(snapshot(function("g"), generation=2))
        first = found.group.status()[0]
        kill(first.pid)
        await found.until(lambda: found.group.status()[0].restarts)
        assert "killed by SIGKILL" in found.group.problems[0]
        await found.until(lambda: not found.group.problems)
        second = found.group.status()[0]
        assert second.pid not in (None, first.pid)
        assert second.generation == 2
        assert {await found.get("/g/hello") for _ in range(8)} == {(200, "hello\n")}
        assert second.restarts == 1


async def test_a_generation_is_released_when_its_last_request_ends(tmp_path: Path) -> None:
    async with supervised(tmp_path) as found:
        slow = asyncio.create_task(found.get("/f/sleep?600"))
        await asyncio.sleep(0.2)
        await found.apply(snapshot(function("g"), generation=2))
        released = asyncio.create_task(found.group.released(1))
        await asyncio.sleep(0.1)
        assert not released.done()
        assert await slow == (200, "slept\n")
        await asyncio.wait_for(released, 5)


@pytest.mark.slow
async def test_a_replacement_has_nothing_old_to_release(tmp_path: Path) -> None:
    async with supervised(tmp_path) as found:
        slow = asyncio.create_task(found.get("/f/sleep?8000"))
        await asyncio.sleep(0.2)
        await found.apply(snapshot(function("g"), generation=2))
        for edge in found.group.status():
            kill(edge.pid)
        await asyncio.wait_for(found.group.released(1), 20)
        slow.cancel()


async def test_a_snapshot_that_cannot_be_served_is_refused_and_the_old_one_stays(tmp_path: Path) -> None:
    async with supervised(tmp_path) as found:
        broken = msgspec.structs.replace(function("g"), artifact=str(tmp_path / "gone.cwasm"))
        with pytest.raises(ProgramError):
            await found.apply(snapshot(broken, generation=2))
        assert await found.get("/f/hello") == (200, "hello\n")
        assert found.group.problems
        await found.apply(snapshot(function("f"), generation=3))
        assert found.group.problems == ()


async def test_workers_that_cannot_start_end_the_start_with_the_reason(tmp_path: Path) -> None:
    broken = msgspec.structs.replace(function("f"), artifact=str(tmp_path / "gone.cwasm"))
    found = Supervised(tmp_path, snapshot(broken))
    with pytest.raises(NodeError, match="does not start") as refused:
        await found.group.start()
    assert "gone.cwasm" in (refused.value.cause or "")
    await found.group.drain(0.0)
    found.state.release()


async def test_killing_ends_them_at_once(tmp_path: Path) -> None:
    found = Supervised(tmp_path, snapshot(function("f")))
    await found.group.start()
    slow = asyncio.create_task(found.get("/f/sleep?8000"))
    await asyncio.sleep(0.2)
    draining = asyncio.create_task(found.group.drain(30.0))
    await asyncio.sleep(0.1)
    assert not draining.done()
    found.group.kill()
    await asyncio.wait_for(draining, 5)
    slow.cancel()
    found.state.release()
