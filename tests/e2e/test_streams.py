"""Bodies through an edge worker: as large as they are, no more than a window of them is kept."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from support.edges import edge, function, snapshot
from support.http import ask, connected, head
from wasmind.config import Limits, Size

if TYPE_CHECKING:
    from pathlib import Path

    from support.edges import EdgeProcess

MIB = 1 << 20
LARGE = Limits(cpu_ms=10_000, wall_ms=60_000, request_body=Size(1 << 40))


async def test_a_large_request_is_read_without_being_kept(tmp_path: Path) -> None:
    size = 64 * MIB
    async with edge(snapshot(function(limits=LARGE)), tmp_path) as process, connected(process.port) as client:
        assert (await ask(process.port, path="/f/hello")).status == 200
        before = process.memory()
        client.send(head("POST", "/f/count", Content_Length=size))
        for _ in range(size // MIB):
            client.send(b"x" * MIB)
            await client.writer.drain()
        answer = await client.answer()
        assert int(answer.body.split()[0]) == size
        assert process.memory() - before < 8 * MIB


async def test_a_large_answer_is_sent_without_being_kept(tmp_path: Path) -> None:
    blocks = 1024
    async with edge(snapshot(function(limits=LARGE)), tmp_path) as process, connected(process.port) as client:
        assert (await ask(process.port, path="/f/hello")).status == 200
        before = process.memory()
        client.send(head(path=f"/f/big?{blocks}"))
        answer = await client.answer()
        assert len(answer.body) == blocks * 65536
        assert answer.complete
        assert process.memory() - before < 8 * MIB


async def test_an_echo_streams_both_ways_at_once(tmp_path: Path) -> None:
    parts = 300
    async with edge(snapshot(function(limits=LARGE)), tmp_path) as process, connected(process.port) as client:
        client.send(head("POST", "/f/echo", Transfer_Encoding="chunked"))

        async def upload() -> None:
            for number in range(parts):
                client.send(b"10000\r\n" + bytes([number % 256]) * 65536 + b"\r\n")
                await client.writer.drain()
            client.send(b"0\r\n\r\n")

        uploading = asyncio.create_task(upload())
        answer = await client.answer()
        await uploading
        assert answer.body == b"".join(bytes([number % 256]) * 65536 for number in range(parts))


async def test_a_client_that_does_not_read_holds_the_guest_and_no_memory(tmp_path: Path) -> None:
    async with edge(snapshot(function(limits=LARGE)), tmp_path) as process:
        assert (await ask(process.port, path="/f/hello")).status == 200
        before = process.memory()
        async with connected(process.port) as client:
            client.send(head(path="/f/endless"))
            await asyncio.sleep(1)
            assert process.memory() - before < 8 * MIB
            assert (await ask(process.port, path="/f/hello")).status == 200, "the others are served"
        await until_idle(process)


async def test_what_a_guest_writes_arrives_while_it_goes_on(served: EdgeProcess) -> None:
    async with connected(served.port) as client:
        client.send(head(path="/f/drip?10"))
        await client.reader.readuntil(b"\r\n\r\n")
        times = []
        for number in range(10):
            size = int(await client.reader.readuntil(b"\r\n"), 16)
            assert await client.reader.readexactly(size + 2) == b"%d\n\r\n" % number
            times.append(time.monotonic())
        assert times[-1] - times[0] > 0.1, "not all at the end"


async def until_idle(process: EdgeProcess) -> None:
    """Wait until it tells that nothing runs."""
    async with asyncio.timeout(5):
        while process.stats.running or process.stats.guests:
            await asyncio.sleep(0.05)
