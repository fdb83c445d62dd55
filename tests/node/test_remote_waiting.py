"""Two thousand guests that wait for a server elsewhere, in one edge worker: what each costs, what is left."""

from __future__ import annotations

import asyncio
import os
import resource
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from support.nodes import CONFIG, running
from support.oip_server import OipServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.nodes import NodeProcess

pytestmark = pytest.mark.slow

GUESTS = 2000
TOGETHER = 100
KIBIBYTES = 64
"""Resident memory of each, all included: the client's connection, the request, the sandbox with the pages
that its guest has touched, the inference, and its connection to the server."""
REQUEST = b"GET /ask/linear HTTP/1.1\r\nhost: localhost\r\n\r\n"


@pytest.fixture
def server() -> Iterator[OipServer]:
    """A server whose model never answers. It and the node may have a connection for each guest."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    running = OipServer()
    try:
        yield running
    finally:
        running.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def edge_of(node: NodeProcess) -> int:
    (edge,) = node.status().edges
    assert edge.pid is not None
    return edge.pid


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


async def wait_for(server: OipServer, what: str, count: int) -> None:
    async with asyncio.timeout(60):
        while (await asyncio.to_thread(server.counts))[what] < count:
            await asyncio.sleep(0.1)


async def begin(where: str, server: OipServer) -> list[asyncio.StreamWriter]:
    """All guests ask, and all inferences are at the server."""
    host, _, port = where.partition(":")
    writers = []
    for _ in range(GUESTS // TOGETHER):
        opened = await asyncio.gather(*(asyncio.open_connection(host, int(port)) for _ in range(TOGETHER)))
        for _, writer in opened:
            writer.write(REQUEST)
            writers.append(writer)
        await asyncio.sleep(0.05)
    await wait_for(server, "hang", GUESTS)
    return writers


async def end(writers: list[asyncio.StreamWriter]) -> None:
    for writer in writers:
        writer.transport.abort()
    for writer in writers:
        with suppress(ConnectionError):
            await writer.wait_closed()


def test_they_cost_no_thread_and_little_memory_and_leave_nothing(tmp_path: Path, server: OipServer) -> None:
    elsewhere = f'kserve = {{ url = "{server.url}", model = "hang", concurrency = {2 * GUESTS} }}'
    config = CONFIG.replace('path = "linear.onnx"', f"{elsewhere}\ndeadline_ms = 120_000").replace(
        "limits = { cpu_ms = 1000 }", "limits = { cpu_ms = 1000, wall_ms = 120_000 }"
    )
    with running(tmp_path, config) as node:
        edge, where = edge_of(node), urlsplit(node.status().functions_url).netloc
        for _ in range(20):
            assert node.get("/http/hello").text == "hello\n"
        memory, before = resident(edge), threads(edge)

        async def wait() -> None:
            writers = await begin(where, server)
            assert threads(edge) == before, "waiting takes no thread"
            each = (resident(edge) - memory) / GUESTS
            assert each < KIBIBYTES << 10, f"each takes {each / 1024:.1f} KiB"
            for _ in range(20):
                assert (await asyncio.to_thread(node.get, "/http/hello")).text == "hello\n"
            figure = f'wasmind_remote_outstanding{{model="linear",scope="shared",server="{server.url}"}}'
            await asyncio.to_thread(node.until, lambda: f"{figure} {GUESTS}.0" in node.api("/metrics").text)
            await end(writers)
            await wait_for(server, "given up", GUESTS)  # the server hears of each that left
            await asyncio.to_thread(node.until, lambda: f"{figure} 0.0" in node.api("/metrics").text)

        asyncio.run(wait())
        node.until(lambda: "wasmind_guests 0.0" in node.api("/metrics").text)
        assert edge_of(node) == edge, "the same worker all the time"
