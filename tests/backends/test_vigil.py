from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

import numpy as np

from support.onnx_models import slow
from support.workers import Client, served
from wasmind.backends.vigil import LONGEST_NS, Vigil

if TYPE_CHECKING:
    from pathlib import Path

    from support.workers import Standing


ONES = np.ones((1, 4), np.float32)


class Counted(Vigil):
    def __init__(self) -> None:
        super().__init__(lambda: True)
        self.kept = 0

    def keep(self) -> bool:
        self.kept += 1
        return super().keep()


async def test_it_ends_when_the_loop_has_something_to_do() -> None:
    ours, theirs = os.pipe()
    came = asyncio.Event()
    asyncio.get_running_loop().add_reader(ours, came.set)
    await asyncio.sleep(0.01)
    vigil = Vigil(lambda: True)
    assert not vigil.keep()
    os.write(theirs, b"x")
    assert vigil.keep()
    assert not came.is_set()
    await came.wait()
    asyncio.get_running_loop().remove_reader(ours)
    os.close(ours)
    os.close(theirs)


async def test_it_does_not_last_long() -> None:
    vigil = Vigil(lambda: True)
    await asyncio.sleep(0.01)
    took = []
    for _ in range(50):
        began = time.perf_counter_ns()
        vigil.keep()
        took.append(time.perf_counter_ns() - began)
    assert LONGEST_NS <= min(took) < 10 * LONGEST_NS


async def test_nobody_is_kept_awake_who_has_other_work() -> None:
    asked = []

    def alone() -> bool:
        asked.append(True)
        return False

    vigil = Vigil(alone)
    began = time.perf_counter_ns()
    kept = [vigil.keep() for _ in range(100)]
    assert time.perf_counter_ns() - began < 100 * LONGEST_NS
    assert not any(kept)
    assert len(asked) == 100


def test_a_loop_that_does_not_tell_what_it_sleeps_on_has_none() -> None:
    async def keep() -> bool:
        os.write(theirs, b"x")
        return Vigil(lambda: True).keep()

    ours, theirs = os.pipe()
    assert not asyncio.run(keep())
    os.close(ours)
    os.close(theirs)


async def test_one_is_kept_for_the_only_call_to_a_model_that_is_known_to_be_swift(
    linear_process: Standing,
) -> None:
    vigil = Counted()
    async with linear_process.client(vigil=vigil) as client:
        await client.infer(ONES)
        assert vigil.kept == 0, "nothing is known of its pace yet"
        for _ in range(16):
            await client.infer(ONES)
        assert vigil.kept >= 8
        before = vigil.kept
        await asyncio.gather(*(client.infer(ONES) for _ in range(8)))
        assert vigil.kept <= before + 1, "the first of several does not know of the others"


async def test_none_is_kept_for_a_model_that_takes_long(tmp_path: Path) -> None:
    vigil = Counted()
    async with served(slow(0.01), tmp_path, vigil=vigil, warm_up=False) as made:
        client = Client(made.backend, made.ready)
        for _ in range(12):
            await client.infer(np.ones((1, 1), np.float32), np.zeros((400, 400), np.float32))
    assert vigil.kept == 0
