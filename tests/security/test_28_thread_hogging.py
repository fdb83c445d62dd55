"""Row 28: a framework that takes more processor than it was given: measured, and capped by its threads."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from support.onnx_models import FLOAT, model, node
from support.workers import served

if TYPE_CHECKING:
    from support.workers import Served

pytestmark = pytest.mark.slow

SIDE = 256


def heavy() -> bytes:
    """Sixty products of matrices: enough for a framework to use every core it may."""
    nodes = [node("MatMul", ["x" if n == 0 else f"m{n}", "x"], [f"m{n + 1}"]) for n in range(60)]
    return model(
        [*nodes, node("Identity", ["m60"], ["y"])],
        [("x", FLOAT, [SIDE, SIDE])],
        [("y", FLOAT, [SIDE, SIDE])],
    )


X = np.zeros((SIDE, SIDE), np.float32)


async def share(made: Served, seconds: float, callers: int) -> float:
    """The cores that a worker uses while so many call it all the time."""
    before, began = made.process.usage(), time.monotonic()
    while time.monotonic() - began < seconds:
        await asyncio.gather(*(made.infer(X) for _ in range(callers)))
    after, took = made.process.usage(), time.monotonic() - began
    assert before is not None
    assert after is not None
    return (after.cpu_s - before.cpu_s) / took


@pytest.mark.parametrize(
    ("settings", "threads", "cores"), [({}, 2, 1), ({"threads": 2, "instances": 2}, 5, 4)]
)
async def test_it_has_the_threads_it_was_given_and_no_more(
    tmp_path: Path, settings: dict[str, int], threads: int, cores: int
) -> None:
    async with served(heavy(), tmp_path, **settings) as made:
        used = await share(made, 0.7, callers=4)
        usage = made.process.usage()
        assert usage is not None
        assert usage.threads <= threads
        assert 0.1 < used < cores + 0.25


async def test_idle_it_uses_nothing(tmp_path: Path) -> None:
    """Threads of a framework that spin while they wait would use a core each."""
    async with served(heavy(), tmp_path, threads=2) as made:
        await made.infer(X)
        await asyncio.sleep(1.2)  # until the watch sleeps too
        before = made.process.usage()
        await asyncio.sleep(0.6)
        after = made.process.usage()
        assert before is not None
        assert after is not None
        assert after.cpu_s - before.cpu_s <= 0.03
        wakes = Path(f"/proc/{made.process.pid}/status").read_text()
        await asyncio.sleep(0.3)
        assert _switches(Path(f"/proc/{made.process.pid}/status").read_text()) - _switches(wakes) <= 2


def _switches(status: str) -> int:
    return sum(int(line.split()[1]) for line in status.splitlines() if "ctxt_switches" in line)


async def test_no_thread_can_be_made_once_it_serves(tmp_path: Path) -> None:
    async with served(heavy(), tmp_path) as made:
        status = Path(f"/proc/{made.process.pid}/status").read_text()
        assert "\nSeccomp:\t2\n" in status
        assert "\nSeccomp_filters:\t2\n" in status
        assert "\nNoNewPrivs:\t1\n" in status
