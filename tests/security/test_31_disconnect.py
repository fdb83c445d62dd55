"""Row 31: a client that leaves ends its guest at once, whatever that does, and its place is free."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from support.edges import edge, function, snapshot
from support.http import ask, connected, head
from wasmind.config import Limits
from wasmind.node.messages import ModelEntry

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

LONG = Limits(cpu_ms=30_000, wall_ms=60_000, concurrency=1)

DOING = {
    "computing": head(path="/f/spin"),
    "sleeping": head(path="/f/sleep?60000"),
    "writing to the client": head(path="/f/endless"),
    "reading from the client": head("POST", "/f/count", Content_Length=1_000_000),
    "streaming": head(path="/f/drip?10000"),
}


@pytest.mark.parametrize("doing", DOING)
async def test_the_guest_ends_with_its_client(tmp_path: Path, doing: str) -> None:
    async with edge(snapshot(function(limits=LONG)), tmp_path) as process:
        async with connected(process.port) as client:
            client.send(DOING[doing])
            await process.until(lambda: process.stats.running == 1)
            assert (await ask(process.port, path="/f/hello")).status == 429
        await freed(process.port)
        await process.until(lambda: process.stats.running == 0)
        assert process.stats.guests == 0


async def test_an_inference_that_waits_ends_with_its_client(tmp_path: Path) -> None:
    model = ModelEntry(
        id="shared.linear.1",
        name="linear",
        scope="shared",
        digest="0",
        socket=str(tmp_path / "nobody"),
        state="loading",
        deadline_ms=60_000,
        queue=10,
        shared_memory=1 << 20,
    )
    settings = {"routes": ("/f/hello",), "args": ("infer", "linear"), "grants": {"linear": model.id}}
    asks = function("f", "infer.c", limits=LONG, **settings)
    async with edge(snapshot(asks, models=(model,)), tmp_path) as process:
        async with connected(process.port) as client:
            client.send(head(path="/f/hello"))
            await process.until(lambda: process.stats.running == 1)
        await process.until(lambda: process.stats.running == 0 and process.stats.guests == 0)
        assert process.stats.requests == 1


async def freed(port: int) -> None:
    """The place is free within a moment of the client's leaving."""
    left = time.monotonic()
    while (await ask(port, path="/f/hello")).status == 429:
        assert time.monotonic() - left < 1
        await asyncio.sleep(0.005)
