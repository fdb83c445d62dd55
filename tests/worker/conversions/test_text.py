"""Text to token ids, with small tokenizers made here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from support.tokenizers import write_tokenizer
from wasmind.config.convert import Text as Step
from wasmind.errors import ConversionFailed, ModelLoadFailed
from wasmind.nn.signature import TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.worker.conversions.text import Text

if TYPE_CHECKING:
    from pathlib import Path

IDS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(write_tokenizer(tmp_path / "tokenizer.json"))


def inputs(*names: str, dims: Any = ("N", "L"), kind: TensorType = TensorType.I64) -> dict[str, TensorSpec]:
    return {name: TensorSpec(name, kind, dims) for name in names}


def said(text: Text, words: str | bytes) -> dict[str, Any]:
    data = np.frombuffer(words.encode() if isinstance(words, str) else words, np.uint8)
    return {name: array.tolist() for name, array in text.run(data).items()}


def test_text_fills_what_the_model_takes(file: str) -> None:
    text = Text("text", Step(tokenizer=file), inputs(IDS, MASK, TYPES))
    assert text.outer == TensorSpec("text", TensorType.U8, ("text_bytes",))
    assert text.names == (IDS, MASK, TYPES)
    assert said(text, "hello world") == {
        IDS: [[1, 4, 5, 2]],
        MASK: [[1, 1, 1, 1]],
        TYPES: [[0, 0, 0, 0]],
    }
    assert text.length is None


def test_inputs_that_the_model_lacks_are_left_out(file: str) -> None:
    assert said(Text("text", Step(tokenizer=file), inputs(IDS)), "hello") == {IDS: [[1, 4, 2]]}


def test_the_names_may_be_told(file: str) -> None:
    step = Step(tokenizer=file, ids="tokens", mask="which")
    text = Text("text", step, inputs("tokens", "which", kind=TensorType.I32))
    found = text.run(np.frombuffer(b"world", np.uint8))
    assert found["tokens"].dtype == np.int32
    assert found["which"].tolist() == [[1, 1, 1]]


def test_an_input_of_the_model_takes_text_itself(file: str) -> None:
    assert Text("words", Step(tokenizer=file), inputs("words")).names == ("words",)


def test_a_model_of_a_fixed_length_gets_it(file: str) -> None:
    text = Text("text", Step(tokenizer=file), inputs(IDS, MASK, dims=("N", 6)))
    assert said(text, "hello") == {IDS: [[1, 4, 2, 0, 0, 0]], MASK: [[1, 1, 1, 0, 0, 0]]}
    assert said(text, "hello world " * 9)[IDS] == [[1, 4, 5, 4, 5, 2]], "cut, and still ended as it should"
    assert text.length == 6


def test_padding_may_be_asked_for(file: str) -> None:
    text = Text("text", Step(tokenizer=file, length=5, pad=True), inputs(IDS))
    assert said(text, "") == {IDS: [[1, 2, 0, 0, 0]]}
    short = Text("text", Step(tokenizer=file, length=4), inputs(IDS, dims=("N", 6)))
    assert said(short, "hello " * 9)[IDS] == [[1, 4, 4, 2, 0, 0]], "cut to 4, filled to what the model takes"


def test_without_special_tokens_and_without_a_batch(file: str) -> None:
    text = Text("text", Step(tokenizer=file, special_tokens=False), inputs(IDS, dims=("L",)))
    assert said(text, "hello world") == {IDS: [4, 5]}


def test_what_is_no_text_is_refused(file: str) -> None:
    text = Text("text", Step(tokenizer=file, max_bytes=20), inputs(IDS))
    with pytest.raises(ConversionFailed, match="no UTF-8 text"):
        said(text, b"\xff\xfe")
    with pytest.raises(ConversionFailed, match="at most 20 are taken") as caught:
        said(text, "a" * 21)
    assert "text.max_bytes" in caught.value.explain()
    assert said(text, "\0\ud7ff𝄞") == {IDS: [[1, 3, 2]]}, "strange letters are text"


@pytest.mark.parametrize(
    ("step", "known", "words"),
    [
        ({}, {"x": ("N", "L")}, "the model has none called 'input_ids'"),
        ({"mask": "m"}, {IDS: ("N", "L")}, "text.mask"),
        ({"length": 9}, {IDS: ("N", 4)}, "it takes 4 tokens"),
        ({"pad": False}, {IDS: ("N", 4)}, "it takes 4 tokens"),
        ({}, {IDS: (1, 2, 3)}, "one or two dimensions"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(
    file: str, step: dict[str, Any], known: dict[str, Any], words: str
) -> None:
    specs = {name: TensorSpec(name, TensorType.I64, dims) for name, dims in known.items()}
    with pytest.raises(ModelLoadFailed) as caught:
        Text("text", Step(tokenizer=file, **step), specs)
    assert words in caught.value.explain()


def test_ids_are_integers(file: str) -> None:
    with pytest.raises(ModelLoadFailed, match="text"):
        Text("text", Step(tokenizer=file), inputs(IDS, kind=TensorType.F32))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        b'{"model":' * 50_000,
        json.dumps(
            {"version": "1.0", "model": {"type": "BPE", "vocab": {}, "merges": [["a", "b"]]}}
        ).encode(),
        b'{"version":"1.0","model":{"type":"Unigram","unk_id":7,"vocab":[]}}',
    ],
    ids=["empty", "nothing", "deep-list", "deep-object", "bad-merges", "bad-unigram"],
)
def test_a_hostile_tokenizer_is_only_refused(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(body)
    with pytest.raises(ModelLoadFailed, match=r"tokenizer\.json cannot be read"):
        Text("text", Step(tokenizer=str(path)), inputs(IDS))
