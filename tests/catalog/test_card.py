from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from wasmind import config
from wasmind.catalog.card import MAX_SIZE, card_of, read_card
from wasmind.catalog.figures import Measured
from wasmind.config import Card, Model
from wasmind.errors import ConfigError
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import TensorType

if TYPE_CHECKING:
    from pathlib import Path

SIGNATURE = Signature(
    (TensorSpec("image", TensorType.U8, ("image_bytes",)), TensorSpec("scale", TensorType.F32, (1,))),
    (TensorSpec("y", TensorType.F32, ("N", 3)),),
)
MARKDOWN = """+++
description = "Tells cats from dogs."
licence = "MIT"
inputs = { image = "a photo" }
example = { image = "cat.jpg" }
+++

Trained on *many* photos.

It has never seen a horse.
"""


def model(base: Path, **settings: Any) -> Model:
    return config.parse({"models": {"m": {"path": "m", **settings}}}, base).models["m"]


def test_a_card_is_told_in_the_configuration(tmp_path: Path) -> None:
    found = read_card(model(tmp_path, card={"description": "words", "example": {"text": "hello"}}))
    assert (found.description, found.example.text) == ("words", "hello")
    assert read_card(model(tmp_path)) == Card()


def test_a_description_alone_is_a_card(tmp_path: Path) -> None:
    assert read_card(model(tmp_path, description="short")).description == "short"
    both = read_card(model(tmp_path, description="short", card={"description": "long"}))
    assert both.description == "long"


def test_a_card_may_be_markdown_beside_the_model(tmp_path: Path) -> None:
    (tmp_path / "m.md").write_text(MARKDOWN)
    found = read_card(model(tmp_path, card="m.md"))
    assert (found.description, found.licence) == ("Tells cats from dogs.", "MIT")
    assert found.notes == "Trained on *many* photos.\n\nIt has never seen a horse."
    assert found.example.image == str(tmp_path / "cat.jpg"), "relative to the card"


def test_a_card_may_be_toml_or_words_alone(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text('source = "https://example.com"')
    assert read_card(model(tmp_path, card="m.toml")).source == "https://example.com"
    (tmp_path / "m.md").write_text("\ufeffNothing but words.\n")
    assert read_card(model(tmp_path, card="m.md")).notes == "Nothing but words."


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("---\nlicense: mit\n---\n", "YAML"),
        ("+++\nlicence = 1\n+++\n", "licence"),
        ("+++\nlicense = 'MIT'\n+++\n", "license"),
        ("+++\nlicence = 'MIT'\n", "second line of +++"),
        ("+++\n[[[\n+++\n", "cannot be read"),
        ("+++\nexample = { text = 'a', image = 'b' }\n+++\n", "more than one example"),
        ("+++\nx = " + "[" * 50_000 + "\n+++\n", "cannot be read"),
        ("+++\nx = " + "{a=" * 20_000 + "\n+++\n", "cannot be read"),
    ],
)
def test_a_card_that_cannot_be_read_says_why(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "m.md").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_card(model(tmp_path, card="m.md"))
    assert words in caught.value.explain()


def test_a_card_has_a_limit(tmp_path: Path) -> None:
    (tmp_path / "m.md").write_bytes(b"x" * (MAX_SIZE + 1))
    with pytest.raises(ConfigError, match="over 1 MiB"):
        read_card(model(tmp_path, card="m.md"))
    (tmp_path / "m.md").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_card(model(tmp_path, card="m.md"))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_card(model(tmp_path, card="gone.md"))


def test_the_whole_card_joins_what_is_told_and_what_is_known(tmp_path: Path) -> None:
    settings = model(
        tmp_path,
        inputs={
            "image": {
                "convert": [
                    {"image": {"size": [8, 9], "keep": 0.5}},
                    {"normalize": {"mean": [1, 2, 3]}},
                    {"layout": "NHWC"},
                    "add_batch",
                ]
            }
        },
        outputs={"y": {"convert": [{"cast": "f32"}]}},
    )
    told = Card(inputs={"image": "a photo", "other": "none"}, answer="cat")
    figures = (Measured(runtime="r 1", load_ms=1, warm_up_ms=2, run_ms=3, memory=4, at=5),)
    found = card_of(
        told,
        settings,
        name="m",
        digest="d",
        encoding="onnx",
        runtime="onnx",
        signature=SIGNATURE,
        labels=[f"l{index}" for index in range(20)],
        figures=figures,
    )
    image, scale = found.inputs
    assert (image.name, image.tensor, image.meaning) == ("image", "u8 [image_bytes]", "a photo")
    assert image.converted == (
        "image: size 8 9, keep 0.5",
        "normalize: mean 1.0 2.0 3.0",
        "layout NHWC",
        "add_batch",
    )
    assert (scale.meaning, scale.converted) == ("", ())
    assert found.outputs[0].converted == ("cast f32",)
    assert (found.labels, found.first_labels[-1], found.figures) == (20, "l11", figures)


def test_a_tokenizer_is_told_by_its_name_alone(tmp_path: Path) -> None:
    settings = model(tmp_path, inputs={"image": {"convert": [{"text": {"tokenizer": "a/t.json"}}]}})
    found = card_of(
        Card(), settings, name="m", digest="d", encoding="onnx", runtime="onnx", signature=SIGNATURE
    )
    assert found.inputs[0].converted == ("text: tokenizer t.json",)


def test_a_model_that_was_never_loaded_has_a_card_too(tmp_path: Path) -> None:
    found = card_of(
        Card(description="x"),
        model(tmp_path),
        name="m",
        digest="d",
        encoding="onnx",
        runtime="onnx",
        signature=None,
    )
    assert (found.inputs, found.outputs, found.description) == ((), (), "x")
