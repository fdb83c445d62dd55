"""An edge worker's life: reloads, drains, deaths, under load; nothing that was accepted is lost."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.edges import EdgeProcess, edge, function, listening_socket, snapshot
from support.http import Client, ask, connected, head
from wasmind.config import Limits
from wasmind.node.listen import deafen
from wasmind.node.messages import ModelEntry, ModelState, Released
from wasmind.telemetry.metrics import merged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Load:
    """Clients that ask without a pause, each on one connection at a time."""

    def __init__(self, port: int, paths: tuple[str, ...]) -> None:
        self._port = port
        self._paths = paths
        self._ending = False
        self.answered = 0
        self.refused = 0
        """Connections that could not be made: nothing was accepted, so nothing is lost."""
        self.lost: list[str] = []
        self.bodies: set[bytes] = set()

    async def client(self, number: int) -> None:
        while not self._ending:
            try:
                async with connected(self._port) as client:
                    await self._ask_on(client, number)
            except ConnectionRefusedError:
                self.refused += 1
                await asyncio.sleep(0.01)

    async def _ask_on(self, client: Client, number: int) -> None:
        while not self._ending:
            client.send(head(path=self._paths[(number + self.answered) % len(self._paths)]))
            try:
                answer = await client.answer()
            except EOFError as error:
                self.lost.append(str(error))
                return
            if answer.status != 200 or not answer.complete:
                self.lost.append(str(answer))
            self.answered += 1
            self.bodies.add(answer.body)
            if answer.headers.get("connection") == "close":
                return

    def end(self) -> None:
        self._ending = True


@asynccontextmanager
async def load(port: int, *paths: str, clients: int = 16) -> AsyncIterator[Load]:
    """Clients at work."""
    running = Load(port, paths)
    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(running.client(number))
        yield running
        running.end()


async def until(holds: object, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # type: ignore[operator]
            await asyncio.sleep(0.01)


# --- drains -------------------------------------------------------------------------------------------------


async def test_a_drain_under_load_loses_nothing(tmp_path: Path) -> None:
    async with edge(snapshot(function()), tmp_path) as process:
        async with load(process.port, "/f/hello", "/f/sleep?100", "/f/drip?5") as running:
            await until(lambda: running.answered > 200)
            deafen(process.listener)
            process.listener.close()
            drained = await process.drain()
            running.end()
        assert running.lost == []
        assert drained.cut == 0
        assert process.process.returncode == 0


@pytest.mark.slow
async def test_a_replacement_on_the_same_socket_loses_nothing(tmp_path: Path) -> None:
    with listening_socket() as listener:
        (tmp_path / "1").mkdir()
        (tmp_path / "2").mkdir()
        first, second = EdgeProcess(listener, tmp_path / "1"), EdgeProcess(listener, tmp_path / "2")
        await first.start(snapshot(function()))
        async with load(first.port, "/f/hello", "/f/sleep?50") as running:
            await until(lambda: running.answered > 100)
            await second.start(snapshot(function()))
            await first.drain()
            before = running.answered
            await until(lambda: running.answered > before + 100)
            running.end()
        assert running.lost == []
        assert running.refused == 0
        await second.close()
        await first.close()


async def test_a_request_that_does_not_end_is_cut_at_the_deadline(tmp_path: Path) -> None:
    async with edge(snapshot(function()), tmp_path) as process, connected(process.port) as client:
        client.send(head(path="/f/sleep?9000"))
        await asyncio.sleep(0.3)
        started = time.monotonic()
        drained = await process.drain(500)
        assert time.monotonic() - started < 4
        assert drained.cut == 1
        answer = await client.answer()
        assert answer.status == 503
        assert "retry-after" in answer.headers


@pytest.mark.parametrize("how", ["SIGTERM", "the supervisor's death"])
async def test_other_ways_to_drain(tmp_path: Path, how: str) -> None:
    async with edge(snapshot(function()), tmp_path) as process, connected(process.port) as client:
        client.send(head(path="/f/sleep?500"))
        await asyncio.sleep(0.2)
        if how == "SIGTERM":
            process.process.send_signal(signal.SIGTERM)
        else:
            await process.channel.close()
        assert (await client.answer()).body == b"slept\n"
        assert await process.ended() == 0


async def test_an_idle_worker_drains_at_once(tmp_path: Path) -> None:
    async with edge(snapshot(function()), tmp_path) as process, connected(process.port) as idle:
        idle.send(head(path="/f/hello"))
        assert (await idle.answer()).status == 200
        started = time.monotonic()
        await process.drain()
        assert time.monotonic() - started < 2
        assert await idle.ended()


@pytest.mark.slow
async def test_connections_wait_for_the_next_worker_when_one_is_killed(tmp_path: Path) -> None:
    with listening_socket() as listener:
        (tmp_path / "1").mkdir()
        (tmp_path / "2").mkdir()
        first, second = EdgeProcess(listener, tmp_path / "1"), EdgeProcess(listener, tmp_path / "2")
        await first.start(snapshot(function()))
        first.process.kill()
        await first.ended()
        waiting = [asyncio.create_task(ask(first.port, path="/f/hello")) for _ in range(20)]
        await second.start(snapshot(function()))
        assert {answer.status for answer in await asyncio.gather(*waiting)} == {200}
        await first.close()
        await second.close()


# --- reloads ------------------------------------------------------------------------------------------------


async def test_a_reload_under_load_loses_nothing_and_frees_the_old(tmp_path: Path) -> None:
    old, new = function(env={"COLOUR": "old"}), function(env={"COLOUR": "new"})
    async with edge(snapshot(old), tmp_path) as process:
        async with load(process.port, "/f/hello", "/f/sleep?30") as running:
            for generation in range(2, 8):
                await asyncio.sleep(0.1)
                changed = snapshot(new if generation % 2 else old, generation=generation)
                applied = await process.apply(changed)
                assert (applied.generation, applied.failure) == (generation, None)
            running.end()
        assert running.lost == []
        await process.until(lambda: Released(generation=6) in process.told)
        released = [message.generation for message in process.all(Released)]
        assert released == sorted(set(released)), "each at most once, in order"


async def test_running_requests_end_on_the_old_and_new_ones_see_the_new(tmp_path: Path) -> None:
    async with edge(snapshot(function()), tmp_path) as process, connected(process.port) as client:
        client.send(head(path="/f/sleep?600"))
        await asyncio.sleep(0.2)
        moved = function("g", "hello.wat")
        assert (await process.apply(snapshot(moved, generation=2))).failure is None
        assert (await ask(process.port, path="/f/hello")).status == 404
        assert (await ask(process.port, path="/g/")).body == b"hello\n"
        assert not process.has(Released)
        assert (await client.answer()).body == b"slept\n"
        await process.until(lambda: Released(generation=1) in process.told)


async def test_limits_change_with_a_reload(tmp_path: Path) -> None:
    async with edge(snapshot(function()), tmp_path) as process, connected(process.port) as busy:
        busy.send(head(path="/f/sleep?600"))
        await asyncio.sleep(0.2)
        await process.apply(snapshot(function(limits=Limits(concurrency=1)), generation=2))
        assert (await ask(process.port, path="/f/hello")).status == 429, "the running one counts"
        await process.apply(snapshot(function(), generation=3, concurrency=1))
        assert (await ask(process.port, path="/f/hello")).status == 503
        assert (await busy.answer()).status == 200
        assert (await ask(process.port, path="/f/hello")).status == 200


async def test_a_snapshot_that_cannot_be_applied_changes_nothing(tmp_path: Path) -> None:
    async with edge(snapshot(function()), tmp_path) as process:
        broken = msgspec.structs.replace(function("g"), artifact=str(tmp_path / "none-0123.cwasm"))
        applied = await process.apply(snapshot(function(), broken, generation=2))
        assert applied.failure is not None
        assert applied.failure.code == "program-refused"
        assert (await ask(process.port, path="/f/hello")).status == 200
        assert (await ask(process.port, path="/g/hello")).status == 404
        assert (await process.apply(snapshot(function(), generation=3))).failure is None


# --- models -------------------------------------------------------------------------------------------------


async def test_a_model_that_was_given_up_says_so(tmp_path: Path) -> None:
    entry = ModelEntry(
        id="shared.linear.1",
        name="linear",
        scope="shared",
        digest="0",
        socket=str(tmp_path / "m0"),
        state="loading",
        deadline_ms=5000,
        queue=10,
        shared_memory=1 << 20,
    )
    asks = function("ask", "infer.c", routes=("/ask",), args=("infer", "linear"), grants={"linear": entry.id})
    async with edge(snapshot(asks, models=(entry,)), tmp_path) as process:
        asking = asyncio.create_task(ask(process.port, path="/ask"))
        await asyncio.sleep(0.3)
        assert not asking.done(), "a model that comes is waited for"
        failed = msgspec.structs.replace(entry, state="failed", reason="its file is damaged", incarnation=1)
        process.send(ModelState(model=failed))
        answer = await asking
        assert answer.status == 502
        assert "its file is damaged" in process.log()


# --- figures ------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_figures_are_told_and_written(tmp_path: Path) -> None:
    async with edge(snapshot(function()), tmp_path) as process:
        for path in ("/f/hello", "/f/hello", "/f/trap", "/nowhere"):
            await ask(process.port, path=path)
        await process.until(lambda: process.stats.requests == 4)
        assert process.stats.running == process.stats.guests == 0
        await process.drain()
    samples = {
        (
            sample.name,
            sample.labels.get("function"),
            sample.labels.get("status"),
            sample.labels.get("reason"),
        ): (sample.value)
        for family in text_string_to_metric_families(merged(tmp_path / "metrics").decode())
        for sample in family.samples
    }
    assert samples["wasmind_requests_total", "f", "200", None] == 2
    assert samples["wasmind_requests_total", "f", "502", None] == 1
    assert samples["wasmind_requests_total", "", "404", None] == 1
    assert samples["wasmind_request_failures_total", "f", None, "guest-trap"] == 1


@pytest.mark.slow
async def test_nothing_is_left_over_after_many_requests(tmp_path: Path) -> None:
    paths = ("/f/hello", "/f/trap", "/f/late-trap", "/f/nonsense", "/f/sleep?5", "/nowhere", "/f/drip?2")
    async with edge(snapshot(function()), tmp_path) as process:
        for _ in range(2):
            for path in paths * 8:
                await ask(process.port, path=path)
            await asyncio.sleep(0.2)
            descriptors, memory = process.descriptors(), process.memory()
        for path in paths * 24:
            await ask(process.port, path=path)
        await process.until(lambda: process.stats.requests == len(paths) * 40)
        assert process.descriptors() <= descriptors
        assert process.memory() - memory < 6 << 20
        assert process.stats.guests == 0
