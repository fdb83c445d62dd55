"""Row 18, for the other frameworks: mutated FlatBuffers, XML and protobuf. A crash takes only its worker."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from support import openvino_models, saved_models, tflite_models
from support.workers import served, spec_of
from wasmind.catalog.files import files_of
from wasmind.errors import InvalidEncoding, ModelLoadFailed
from wasmind.worker.spawn import listen, spawn
from wasmind.worker.spec import Ready

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

SEEDS = {
    "tflite": ("tensorflowlite", "m.tflite", tflite_models.linear(-1)),
    "openvino": ("tensorflowlite", "m.tflite", tflite_models.linear()),
    "openvino xml": ("openvino", "m.xml", openvino_models.linear().encode()),
    "openvino saved": ("tensorflow", "saved_model.pb", saved_models.linear()),
}
ENTITIES = '<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {chr(98 + at)} "{f"&{chr(97 + at)};" * 10}">' for at in range(9)
)
CRAFTED = {
    "entities that unfold to a thousand million": f'<?xml version="1.0"?><!DOCTYPE net [{ENTITIES}]>'
    '<net name="&j;" version="11"><layers/></net>',
    "an entity in another file": '<?xml version="1.0"?><!DOCTYPE net [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    '<net name="&e;" version="11"><layers/></net>',
    "a hundred thousand levels": '<?xml version="1.0"?><net>' + "<a>" * 100_000,
    "weights beyond the file": openvino_models.linear(offset=1 << 62),
    "weights of another size": openvino_models.linear(size=1 << 40),
    "a giant shape": openvino_models.linear().replace('shape="1,4"', 'shape="1099511627776,4"'),
    "a layer that is there twice": openvino_models.linear().replace('layer id="1"', 'layer id="0"'),
    "a circle": openvino_models.linear().replace('from-layer="0"', 'from-layer="4"'),
}


def mutated(data: bytes, chance: random.Random) -> bytes:
    made = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 8])):
        at = chance.randrange(8, len(made))  # what tells the encoding stays
        kind = chance.randrange(4)
        if kind == 0:
            made[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            made[at:at] = chance.randbytes(chance.choice([1, 4, 64]))
        elif kind == 2:
            del made[at : at + chance.choice([1, 4, 32])]
        else:
            made[at : at + 4] = b"\xff" * 4
    return bytes(made)


async def tried(name: str, data: bytes, directory: Path, **settings: Any) -> str:
    """How a file fared: never anything but an answer or an explained refusal."""
    encoding, file, _ = SEEDS[name]
    home = directory / "home"
    home.mkdir(exist_ok=True)
    (home / file).write_bytes(data)
    if encoding == "openvino":
        (home / "m.bin").write_bytes(openvino_models.WEIGHTS)
    files = files_of(home if encoding == "tensorflow" else home / file)
    settings = {"load_timeout_ms": 20_000, "memory": 1 << 30} | settings
    spec = spec_of(home / file, files=files, encoding=encoding, runtime=name.split(maxsplit=1)[0], **settings)
    with listen(directory / "s.sock") as listener:
        process = await spawn(spec, listener)
        (outcome,) = await asyncio.gather(process.ready(), return_exceptions=True)
        if isinstance(outcome, Ready):
            assert (await process.stop()).expected
            return "loaded"
        death = await process.wait()
    assert isinstance(outcome, ModelLoadFailed | InvalidEncoding), outcome
    assert outcome.cause or outcome.remedy or "framework says" in outcome.message
    assert death.reason
    return "refused" if death.status == 3 else "crashed"


@pytest.mark.parametrize("kind", CRAFTED)
async def test_crafted_xml_is_refused_at_little_cost(tmp_path: Path, kind: str) -> None:
    fate = await tried("openvino xml", CRAFTED[kind].encode(), tmp_path, memory=300 << 20)
    assert fate in ("refused", "crashed") if kind != "a giant shape" else fate


def cases() -> Iterator[Any]:
    for name in SEEDS:
        yield pytest.param(name, 2, id=name)
        yield pytest.param(name, 40, id=f"{name}, many", marks=pytest.mark.slow)


@pytest.mark.parametrize(("name", "count"), list(cases()))
async def test_mutated_models_load_or_are_refused(tmp_path: Path, name: str, count: int) -> None:
    chance = random.Random(name)
    fates = [await tried(name, mutated(SEEDS[name][2], chance), tmp_path) for _ in range(count)]
    assert len(fates) == count
    assert set(fates) <= {"loaded", "refused", "crashed"}
    assert count < 10 or fates.count("refused") > 0


async def test_after_all_that_a_good_one_loads(tmp_path: Path) -> None:
    path = openvino_models.write(tmp_path)
    async with served(path, tmp_path, encoding="openvino", runtime="openvino") as made:
        assert made.ready.signature.inputs[0].dims == (1, 4)
