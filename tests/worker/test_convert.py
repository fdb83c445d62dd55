"""Workers without a model: they convert what goes to a model elsewhere, and what comes from it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from support.images import array_of as bytes_of
from support.images import encoded, picture
from support.tokenizers import write_tokenizer
from support.workers import Client
from wasmind import config
from wasmind.backends.process import ProcessBackend
from wasmind.catalog.files import ModelFile
from wasmind.errors import ConversionFailed, ModelLoadFailed
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.worker.runtimes.base import CONVERT
from wasmind.worker.spawn import listen, spawn
from wasmind.worker.spec import Conversions, WorkerSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from wasmind.worker.spec import Side

F32, I64 = TensorType.F32, TensorType.I64
PHOTOS = Signature((TensorSpec("x", F32, (None, 3, 8, 8)),), (TensorSpec("y", F32, (None, 3)),))
TEXTS = Signature(
    (TensorSpec("input_ids", I64, (None, None)), TensorSpec("attention_mask", I64, (None, None))),
    (TensorSpec("hidden", F32, (None, None, 4)),),
)


def declared(directory: Path, labels: tuple[str, ...] = (), **tables: Any) -> Conversions:
    found = config.parse(
        {
            "models": {
                "m": {"path": "m"}
                | {what: {k: {"convert": v} for k, v in t.items()} for what, t in tables.items()}
            }
        },
        directory,
    ).models["m"]
    return Conversions(inputs=found.inputs, outputs=found.outputs, labels=labels)


@asynccontextmanager
async def converter(
    directory: Path, side: Side, served: Signature, conversions: Conversions, **more: Any
) -> AsyncIterator[Client]:
    spec = WorkerSpec(
        **{
            "name": f"m@{side}",
            "files": (),
            "encoding": side,
            "runtime": "convert",
            "declared": served,
            "warm_up": False,
            "conversions": conversions,
            **more,
        }
    )
    address = directory / f"{side}.sock"
    with listen(address) as listener:
        process = await spawn(spec, listener)
        try:
            ready = await process.ready()
            backend = ProcessBackend(str(address), spec.name, ready.signature)
            try:
                yield Client(backend, ready)
            finally:
                await backend.close()
        finally:
            await process.stop(5.0)


async def test_photos_become_what_the_servers_take(tmp_path: Path) -> None:
    conversions = declared(tmp_path, inputs={"x": ["image"]})
    photo = picture(30, 20)
    async with converter(tmp_path, "inputs", PHOTOS, conversions) as client:
        assert client.ready.runtime == "conversions"
        assert [str(spec) for spec in client.ready.signature.inputs] == ["u8 [x_bytes]"]
        assert client.ready.signature.outputs == PHOTOS.inputs
        assert client.ready.confinement.complete
        (found,) = await client.infer(bytes_of(encoded(photo, "PNG")))
        assert (found.dtype, found.shape) == (np.float32, (1, 3, 8, 8))
        with pytest.raises(ConversionFailed):
            await client.infer(bytes_of(b"no photo"))
        await client.settled()


async def test_answers_become_what_functions_read(tmp_path: Path) -> None:
    labels = ("cat", "dog", "owl")
    conversions = declared(tmp_path, labels, outputs={"y": ["drop_batch", "softmax", {"top_k": {"k": 1}}]})
    async with converter(tmp_path, "outputs", PHOTOS, conversions) as client:
        assert client.ready.signature.inputs == PHOTOS.outputs
        (found,) = await client.infer(np.array([[0, 5, 1]], np.float32))
        (best,) = json.loads(found.tobytes())
        assert best["label"] == "dog"
        await client.settled()


async def test_texts_by_a_tokenizer_that_it_may_read(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    write_tokenizer(path)
    conversions = declared(tmp_path, inputs={"text": [{"text": {"tokenizer": str(path)}}]})
    files = (ModelFile(str(path.resolve()), "tokenizer"),)
    async with converter(tmp_path, "inputs", TEXTS, conversions, files=files) as client:
        assert [spec.name for spec in client.ready.signature.inputs] == ["text"]
        ids, mask = await client.infer(bytes_of(b"hello world"))
        assert ids.shape == mask.shape
        assert mask.all()


async def test_pooling_looks_at_the_mask_that_was_sent(tmp_path: Path) -> None:
    conversions = declared(tmp_path, outputs={"hidden": ["pool"]})
    async with converter(tmp_path, "outputs", TEXTS, conversions) as client:
        assert [spec.name for spec in client.ready.signature.inputs] == ["hidden", "attention_mask"]
        assert [spec.name for spec in client.ready.signature.outputs] == ["hidden"]
        hidden = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
        (found,) = await client.infer(hidden, np.array([[1, 1, 0]], np.int64))
        assert np.array_equal(found, hidden[:, :2].mean(axis=1))


async def test_an_empty_answer_is_converted_too(tmp_path: Path) -> None:
    conversions = declared(tmp_path, outputs={"y": ["softmax"]})
    async with converter(tmp_path, "outputs", PHOTOS, conversions) as client:
        (found,) = await client.infer(np.zeros((0, 3), np.float32))
        assert found.shape == (0, 3)


@pytest.mark.parametrize(
    ("side", "tables", "words"),
    [
        ("inputs", {"inputs": {"pixels": ["image"]}}, "no such input"),
        ("outputs", {"outputs": {"z": ["softmax"]}}, "no such output"),
        ("outputs", {"outputs": {"y": [{"pool": {"mask": "mask"}}]}}, "no input 'mask'"),
        ("inputs", {"inputs": {"x": [{"layout": "HWC"}]}}, "layout"),
    ],
)
async def test_a_declaration_that_does_not_fit_the_servers_is_explained(
    tmp_path: Path, side: Side, tables: dict[str, Any], words: str
) -> None:
    with pytest.raises(ModelLoadFailed) as caught:
        async with converter(tmp_path, side, PHOTOS, declared(tmp_path, **tables)):
            pass
    assert words in caught.value.explain()


async def test_it_needs_little_memory_and_says_how_much(tmp_path: Path) -> None:
    conversions = declared(tmp_path, inputs={"x": ["image"]})
    async with converter(tmp_path, "inputs", PHOTOS, conversions, memory=CONVERT.floor) as client:
        many = [client.infer(bytes_of(encoded(picture(300, 200), "JPEG"))) for _ in range(4)]
        assert len(await asyncio.gather(*many)) == 4
    with pytest.raises(ModelLoadFailed, match="conversions takes"):
        async with converter(tmp_path, "inputs", PHOTOS, conversions, memory=CONVERT.floor - 1):
            pass
