"""Row 29: slow-loris, chunk floods and header bombs cost their sender alone; memory is bounded."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from support.edges import edge, function, snapshot
from support.http import ask, connected, head
from wasmind.config import Limits, Size

if TYPE_CHECKING:
    from pathlib import Path

    from support.edges import EdgeProcess
    from wasmind.node.messages import Snapshot

pytestmark = pytest.mark.slow

MIB = 1 << 20
HOUR = Limits(cpu_ms=10_000, wall_ms=3_600_000, request_body=Size(1 << 40))


async def neighbour(process: EdgeProcess, seconds: float) -> list[float]:
    """How long each of a well-behaved client's requests took meanwhile."""
    times = []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        began = time.monotonic()
        answer = await ask(process.port, path="/hello")
        assert answer.status == 200
        times.append(time.monotonic() - began)
    return sorted(times)


def served() -> Snapshot:
    return snapshot(
        function("hello", "hello.wat", routes=("/hello",)), function(limits=HOUR), header_timeout_ms=1_000.0
    )


async def test_slow_loris(tmp_path: Path) -> None:
    """Hundreds of connections that send a header now and then, and never the end."""
    async with edge(served(), tmp_path) as process, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(process.port)) for _ in range(300)]
        before = process.memory()

        async def drip() -> None:
            for client in clients:
                client.send(b"GET /hello HTTP/1.1\r\nHost: h\r\n")
            while True:
                await asyncio.sleep(0.2)
                for client in clients:
                    client.send(b"X: y\r\n")

        dripping = asyncio.create_task(drip())
        times = await neighbour(process, 0.8)
        assert process.memory() - before < 16 * MIB
        ended = await asyncio.gather(*(client.ended() for client in clients))
        dripping.cancel()
        assert all(ended), "each is closed at the header time-out, with nothing served"
        assert times[len(times) // 2] < 0.1
        assert (await ask(process.port, path="/hello")).status == 200


async def test_a_body_that_drips_holds_one_guest_and_little_else(tmp_path: Path) -> None:
    async with edge(served(), tmp_path) as process, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(process.port)) for _ in range(100)]
        for client in clients:
            client.send(head("POST", "/f/count", Content_Length=1_000_000))
        for _ in range(5):
            for client in clients:
                client.send(b"x")
            await asyncio.sleep(0.05)
        times = await neighbour(process, 0.5)
        assert times[len(times) // 2] < 0.1


async def test_a_chunk_flood(tmp_path: Path) -> None:
    """Bodies of one byte in each chunk: six bytes on the wire for one."""
    flood = b"1\r\nx\r\n" * 20_000
    async with edge(served(), tmp_path) as process, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(process.port)) for _ in range(4)]
        assert (await ask(process.port, path="/hello")).status == 200
        before = process.memory()

        async def pour(number: int) -> None:
            client = clients[number]
            client.send(head("POST", "/f/count", Transfer_Encoding="chunked"))
            while True:
                client.send(flood)
                await client.writer.drain()

        pouring = [asyncio.create_task(pour(number)) for number in range(len(clients))]
        await asyncio.sleep(0.2)
        times = await neighbour(process, 2)
        for task in pouring:
            task.cancel()
        assert process.memory() - before < 16 * MIB
        assert times[len(times) // 2] < 0.25, times


async def test_chunks_of_one_byte_arrive_whole(tmp_path: Path) -> None:
    async with edge(served(), tmp_path) as process, connected(process.port) as client:
        client.send(
            head("POST", "/f/count", Transfer_Encoding="chunked") + b"1\r\nx\r\n" * 30_000 + b"0\r\n\r\n"
        )
        assert (await client.answer()).body.startswith(b"30000 ")


async def test_header_bombs(tmp_path: Path) -> None:
    async with edge(served(), tmp_path) as process:
        assert (await ask(process.port, path="/hello")).status == 200
        before = process.memory()
        bombs = (
            b"GET /hello HTTP/1.1\r\nHost: h\r\n" + b"x: y\r\n" * 100_000,
            b"GET /hello HTTP/1.1\r\nHost: h\r\nx: " + b"y" * MIB,
            b"GET /" + b"x" * MIB,
            b"GET /hello HTTP/1.1\r\nHost: h\r\n" + b"x" * MIB,
        )
        for bomb in bombs * 5:
            async with connected(process.port) as client:
                client.send(bomb)
                assert (await client.answer()).status == 431
        assert process.memory() - before < 16 * MIB
        assert (await ask(process.port, path="/hello")).status == 200


async def test_requests_sent_ahead_without_end(tmp_path: Path) -> None:
    async with edge(served(), tmp_path) as process, connected(process.port) as client:
        assert (await ask(process.port, path="/hello")).status == 200
        before = process.memory()
        ahead = b"GET /f/sleep?200 HTTP/1.1\r\nHost: h\r\n\r\n" * 20

        async def pour() -> None:
            while True:
                client.send(ahead)
                await client.writer.drain()

        pouring = asyncio.create_task(pour())
        times = await neighbour(process, 1)
        pouring.cancel()
        assert process.memory() - before < 16 * MIB
        assert times[len(times) // 2] < 0.1
