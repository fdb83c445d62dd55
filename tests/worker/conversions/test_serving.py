"""Conversions in confined workers, with models that run."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from support.images import FORMATS, array_of, bombs, encoded, mutants, picture
from support.onnx_models import FLOAT, I64, U8, model, node
from support.tokenizers import write_tokenizer
from support.workers import served, standing
from wasmind import config
from wasmind.catalog.files import ModelFile, files_of
from wasmind.errors import ConversionFailed, InferenceTimeout, ModelLoadFailed
from wasmind.worker.spec import Conversions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.workers import Standing

LABELS = tuple(f"class {index}" for index in range(3))


def conversions(labels: tuple[str, ...] = (), **declared: Any) -> Conversions:
    tables = {
        what: {name: {"convert": steps} for name, steps in named.items()} for what, named in declared.items()
    }
    found = config.parse({"models": {"m": {"path": "m", **tables}}}, Path("/")).models["m"]
    return Conversions(inputs=found.inputs, outputs=found.outputs, labels=labels)


def colours() -> bytes:
    """The mean of each channel: f32 [N,3,8,8] to [N,3]."""
    return model(
        [node("GlobalAveragePool", ["x"], ["mean"]), node("Flatten", ["mean"], ["y"])],
        [("x", FLOAT, ["N", 3, 8, 8])],
        [("y", FLOAT, ["N", 3])],
    )


CLASSIFIER = conversions(LABELS, inputs={"x": ["image"]}, outputs={"y": ["softmax", {"top_k": {"k": 2}}]})


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    with standing(
        colours(), tmp_path_factory.mktemp("c"), conversions=CLASSIFIER, batch=8, instances=1
    ) as one:
        yield one


def by_hand(data: bytes) -> list[float]:
    import io

    from PIL import Image

    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize((8, 8), Image.Resampling.BICUBIC))
    mean = pixels.astype(np.float32).mean(axis=(0, 1))
    raised = np.exp(mean - mean.max())
    return [float(one) for one in raised / raised.sum()]


async def answer(client: Any, data: bytes) -> list[dict[str, Any]]:
    (out,) = await client.infer(array_of(data))
    found: list[dict[str, Any]] = json.loads(bytes(out))
    return found


@pytest.mark.parametrize("kind", FORMATS)
async def test_a_file_goes_in_and_labels_come_out(classifier: Standing, kind: str) -> None:
    assert [str(spec) for spec in classifier.ready.signature.inputs] == ["u8 [x_bytes]"]
    assert classifier.ready.batch == 8
    data = encoded(picture(60, 60), kind)
    async with classifier.client() as client:
        found = await answer(client, data)
    wanted = by_hand(data)
    best = sorted(range(3), key=lambda index: -wanted[index])[:2]
    assert [one["label"] for one in found] == [LABELS[index] for index in best]
    assert np.allclose([one["score"] for one in found], [wanted[index] for index in best], atol=1e-6)


async def test_images_of_all_sizes_run_together_and_answer_as_alone(classifier: Standing) -> None:
    files = [encoded(picture(20 + 9 * index, 30, seed=index), FORMATS[index % 3]) for index in range(24)]
    async with classifier.client() as client:
        alone = [await answer(client, data) for data in files]
        batches = []

        async def one(data: bytes) -> list[dict[str, Any]]:
            lease = client.backend.lease(len(data))
            lease.view[:] = data
            from wasmind.nn.tensor import Tensor, TensorType

            deadline = asyncio.get_running_loop().time() + 20
            outputs = await client.backend.infer(
                (Tensor(TensorType.U8, (len(data),), lease.view),), deadline, "t"
            )
            batches.append(outputs.batch)
            found: list[dict[str, Any]] = json.loads(bytes(outputs.tensors[0].data))
            outputs.release()
            lease.release()
            return found

        together = await asyncio.gather(*map(one, files))
        await client.settled()
    assert [[each["label"] for each in found] for found in together] == [
        [each["label"] for each in found] for found in alone
    ]
    for left, right in zip(alone, together, strict=True):
        assert np.allclose([each["score"] for each in left], [each["score"] for each in right], atol=1e-6)
    assert max(batches) > 1, "some of them ran together"


async def test_one_bad_image_in_a_batch_fails_alone(classifier: Standing) -> None:
    good, bad = encoded(picture(30, 30), "PNG"), encoded(picture(30, 30), "PNG")[:100]
    async with classifier.client() as client:
        wanted = await answer(client, good)
        found = await asyncio.gather(
            *(answer(client, bad if index % 4 == 1 else good) for index in range(16)), return_exceptions=True
        )
        await client.settled()
    for index, one in enumerate(found):
        if index % 4 == 1:
            assert isinstance(one, ConversionFailed)
            assert "cannot be decoded" in one.message
        else:
            assert not isinstance(one, BaseException)
            assert [each["label"] for each in one] == [each["label"] for each in wanted]


async def test_hostile_images_end_no_worker(classifier: Standing) -> None:
    async with classifier.client() as client:
        for data in (*mutants(150, seed=9), *bombs().values()):
            try:
                await answer(client, data or b"\0")
            except ConversionFailed:
                continue
        assert len(await answer(client, encoded(picture(9, 9), "JPEG"))) == 2
        await client.settled()


async def test_a_call_whose_time_is_over_is_not_converted(classifier: Standing) -> None:
    async with classifier.client() as client:
        with pytest.raises(InferenceTimeout):
            await client.infer(array_of(encoded(picture(9, 9), "PNG")), seconds=-1)
        assert await answer(client, encoded(picture(9, 9), "PNG"))


async def test_text_in_a_confined_worker(tmp_path: Path) -> None:
    tokenizer = write_tokenizer(tmp_path / "tokenizer.json")
    ids = model(
        [node("Mul", ["input_ids", "attention_mask"], ["y"])],
        [("input_ids", I64, ["N", "L"]), ("attention_mask", I64, ["N", "L"])],
        [("y", I64, ["N", "L"])],
    )
    path = tmp_path / "ids.onnx"
    path.write_bytes(ids)
    declared = conversions(inputs={"text": [{"text": {"tokenizer": str(tokenizer)}}]})
    files = (*files_of(path), ModelFile(str(tokenizer), "tokenizer"))
    async with served(path, tmp_path, conversions=declared, files=files, batch=4) as served_:
        assert [str(spec) for spec in served_.ready.signature.inputs] == ["u8 [text_bytes]"]
        texts = ["hello", "hello world", "world world world", "", "hello", "what"]
        found = await asyncio.gather(*(served_.infer(array_of(text.encode() or b" ")) for text in texts))
        assert [out[0].tolist() for out in found] == [
            [[1, 4, 2]],
            [[1, 4, 5, 2]],
            [[1, 5, 5, 5, 2]],
            [[1, 2]],
            [[1, 4, 2]],
            [[1, 3, 2]],
        ], "texts of every length, some of them together"
        with pytest.raises(ConversionFailed, match="no UTF-8"):
            await served_.infer(array_of(b"\xff"))
        await served_.settled()


async def test_large_outputs_of_unknown_size_come_whole(tmp_path: Path) -> None:
    identity = model([node("Identity", ["x"], ["y"])], [("x", U8, ["N", 100, 100, 3])], [("y", U8, None)])
    declared = conversions(inputs={"x": ["image"]}, outputs={"y": [{"cast": {"type": "f32", "scale": 0.5}}]})
    async with served(identity, tmp_path, conversions=declared) as client:
        (found,) = await client.infer(array_of(encoded(picture(100, 100), "PNG")))
        assert np.array_equal(found[0], np.asarray(picture(100, 100)).astype(np.float32) / 2)
        await client.settled()


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"inputs": {"x": [{"image": {"size": [9, 9]}}]}}, "its height is 8, not 9"),
        ({"inputs": {"other": ["image"]}}, "the model has no such input"),
        ({"inputs": {"t": [{"text": {"tokenizer": "/nowhere/tokenizer.json"}}]}}, "no input to fill"),
    ],
)
async def test_a_declaration_that_does_not_fit_fails_the_load(
    tmp_path: Path, declared: dict[str, Any], words: str
) -> None:
    with pytest.raises(ModelLoadFailed) as caught:
        async with served(colours(), tmp_path, conversions=conversions(**declared)):
            pytest.fail("it serves")
    assert words in caught.value.explain()


async def test_a_tokenizer_that_was_not_granted_cannot_be_read(tmp_path: Path) -> None:
    tokenizer = write_tokenizer(tmp_path / "tokenizer.json")
    ids = model(
        [node("Identity", ["input_ids"], ["y"])], [("input_ids", I64, ["N", "L"])], [("y", I64, ["N", "L"])]
    )
    declared = conversions(inputs={"input_ids": [{"text": {"tokenizer": str(tokenizer)}}]})
    with pytest.raises(ModelLoadFailed, match="cannot be read"):
        async with served(ids, tmp_path, conversions=declared):
            pytest.fail("it serves")
