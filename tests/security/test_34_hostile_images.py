"""Images that unpack to more than a process may have: errors, and a worker of little memory lives on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.images import array_of, bombs, encoded, mutants, picture
from support.onnx_models import FLOAT, model, node
from support.workers import served
from wasmind import config
from wasmind.errors import ConversionFailed
from wasmind.worker.spec import Conversions

if TYPE_CHECKING:
    from support.workers import Served

MEMORY = 320 << 20


async def outcome(worker: Served, data: bytes) -> str:
    """The error's words, or nothing where it was answered."""
    try:
        await worker.infer(array_of(data or b"\0"))
    except ConversionFailed as error:
        return error.explain()
    return ""


def declared(**image: int) -> Conversions:
    table = {"x": {"convert": [{"image": image}]}}
    found = config.parse({"models": {"m": {"path": "m", "inputs": table}}}, Path("/")).models["m"]
    return Conversions(inputs=found.inputs)


def small() -> bytes:
    return model(
        [node("GlobalAveragePool", ["x"], ["y"])],
        [("x", FLOAT, ["N", 3, 8, 8])],
        [("y", FLOAT, ["N", 3, 1, 1])],
    )


async def test_no_bomb_costs_the_worker_anything(tmp_path: Path) -> None:
    async with served(small(), tmp_path, conversions=declared(), memory=MEMORY, batch=4) as worker:
        before = worker.process.usage()
        assert before is not None
        for name, data in bombs().items():
            assert "at most 25000000 are decoded" in await outcome(worker, data), name
        after = worker.process.usage()
        assert after is not None
        assert after.memory - before.memory < 16 << 20
        assert after.cpu_s - before.cpu_s < 0.5
        assert await outcome(worker, encoded(picture(30, 30), "JPEG")) == ""
        await worker.settled()


async def test_what_an_operator_allows_may_still_not_fit_and_only_fails(tmp_path: Path) -> None:
    """Limits raised beyond the memory: decoding fails, the worker does not."""
    image = declared(max_pixels=10**11)
    async with served(small(), tmp_path, conversions=image, memory=MEMORY) as worker:
        for name in ("png-huge", "webp-huge", "webp-lossless-huge", "jpeg-huge"):
            assert "cannot be decoded" in await outcome(worker, bombs()[name]), name
        assert await outcome(worker, encoded(picture(30, 30), "PNG")) == ""
        assert worker.process.usage() is not None
        await worker.settled()


async def test_progressive_scans_are_counted_before_they_are_decoded(tmp_path: Path) -> None:
    data = encoded(picture(500, 500), "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    async with served(small(), tmp_path, conversions=declared(), memory=MEMORY) as worker:
        began = time.process_time()
        assert "scans" in await outcome(worker, data[:-2] + scan[:2000] * 5000 + b"\xff\xd9")
        assert time.process_time() - began < 1


@pytest.mark.slow
async def test_thousands_of_broken_images_end_no_worker(tmp_path: Path) -> None:
    async with served(small(), tmp_path, conversions=declared(), memory=MEMORY, batch=4) as worker:
        answered = 0
        for data in mutants(4000, seed=11):
            words = await outcome(worker, data)
            answered += not words
            assert not words or 'input "x"' in words
        assert answered > 100
        usage = worker.process.usage()
        assert usage is not None
        assert usage.memory < MEMORY
        assert not worker.log, "strangers' images write nothing to the log"
