"""Long use: neither side's memory, descriptors or threads grow."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from support.onnx_models import FLOAT, identity
from support.workers import served

if TYPE_CHECKING:
    from support.workers import Served


def private(pid: int | str) -> int:
    """Private resident bytes of a process: what the arena takes varies with how many calls met."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    raise AssertionError("no RssAnon")


async def load(made: Served, calls: int, size: int) -> None:
    x = np.zeros(size, np.float32)

    async def caller(count: int) -> None:
        for number in range(count):
            task = asyncio.create_task(made.infer(x, tenant=str(number % 7)))
            if number % 50 == 0:
                await asyncio.sleep(0)
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    await asyncio.gather(*(caller(calls // 20) for _ in range(20)))
    await made.settled()


@pytest.mark.slow
async def test_a_hundred_thousand_calls_leave_nothing_behind(tmp_path: Path) -> None:
    async with served(identity(FLOAT, ("N",)), tmp_path) as made:
        await load(made, 5_000, 8)
        await load(made, 1_000, 50_000)
        worker, own, descriptors = (
            private(made.process.pid),
            private("self"),
            len(os.listdir("/proc/self/fd")),
        )
        await load(made, 100_000, 8)
        await load(made, 3_000, 50_000)
        assert private(made.process.pid) - worker < 2 << 20
        assert private("self") - own < 8 << 20
        assert len(os.listdir("/proc/self/fd")) == descriptors
        usage = made.process.usage()
        assert usage is not None
        assert usage.threads == 2
