"""Row 18: mutated model files. Each loads or is refused with words; a crash takes only its worker."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from support.onnx_models import FLOAT, constant, gather, linear, model, node
from support.workers import spec_of
from wasmind.errors import InvalidEncoding, ModelLoadFailed
from wasmind.worker.spawn import listen, spawn
from wasmind.worker.spec import Ready

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def seeds() -> list[bytes]:
    convolution = model(
        [node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3]), node("Relu", ["c"], ["y"])],
        [("x", FLOAT, ["N", 1, 8, 8])],
        [("y", FLOAT, ["N", 1, 6, 6])],
        [constant("w", FLOAT, [1, 1, 3, 3], range(9))],
    )
    return [linear(), gather(), convolution]


def mutations(count: int, seed: int) -> Iterator[bytes]:
    chance = random.Random(seed)
    for number in range(count):
        data = bytearray(chance.choice(seeds()))
        for _ in range(chance.choice([1, 1, 2, 8])):
            at = chance.randrange(len(data))
            kind = number % 4
            if kind == 0:
                data[at] ^= 1 << chance.randrange(8)
            elif kind == 1:
                data[at:at] = chance.randbytes(chance.choice([1, 4, 64]))
            elif kind == 2:
                del data[at : at + chance.choice([1, 4, 32])]
            else:
                data[at : at + 4] = b"\xff" * 4
        yield bytes(data)


CRAFTED = {
    "nothing but a length": b"\x0a\xff\xff\xff\xff\x0f",
    "deeply nested": b"".join(bytes([0x3A, 0xFE, 0x01]) for _ in range(2000)),
    "zeros": bytes(4096),
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "an XML bomb": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bb">]><a>&b;&b;</a>',
    "a zip": b"PK\x03\x04" + bytes(60),
}


async def tried(data: bytes, directory: Path) -> str:
    """How a file fared: never anything but an answer or an explained refusal."""
    path = directory / "mutated.onnx"
    path.write_bytes(data)
    with listen(directory / "s.sock") as listener:
        process = await spawn(spec_of(path, load_timeout_ms=20_000, memory=1 << 30), listener)
        (outcome,) = await asyncio.gather(process.ready(), return_exceptions=True)
        if isinstance(outcome, Ready):
            assert (await process.stop()).expected
            return "loaded"
        death = await process.wait()
    assert isinstance(outcome, ModelLoadFailed | InvalidEncoding)
    assert outcome.cause or outcome.remedy or "framework says" in outcome.message
    assert death.reason
    return "refused" if death.status == 3 else "crashed"


@pytest.mark.parametrize("name", CRAFTED)
async def test_what_is_no_model_is_refused(tmp_path: Path, name: str) -> None:
    assert await tried(CRAFTED[name], tmp_path) == "refused"


async def test_mutated_models_load_or_are_refused(tmp_path: Path) -> None:
    fates = [await tried(data, tmp_path) for data in mutations(4, seed=1)]
    assert "refused" in fates


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_many_mutated_models(tmp_path: Path, seed: int) -> None:
    fates = [await tried(data, tmp_path) for data in mutations(60, seed)]
    assert len(fates) == 60
    assert fates.count("refused") > 10
