"""A model tried: on random input, on arrays, on a photo, on its card's example; its best labels shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from support.gguf_models import tiny
from support.images import encoded, picture
from support.onnx_models import FLOAT, I64, linear, model, node
from wasmind import config
from wasmind.catalog.figures import Figures
from wasmind.cli.trial import Given, _summary, _top, try_out
from wasmind.config import Model

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Nine by seven pixels of one colour."""
    from PIL import Image

    Image.new("RGB", (9, 7), (255, 51, 102)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def mean(tmp_path: Path) -> Path:
    data = model(
        [node("ReduceMean", ["photo"], ["mean"], axes=[2, 3], keepdims=0)],
        [("photo", FLOAT, ["N", 3, 4, 4])],
        [("mean", FLOAT, ["N", 3])],
        opset=13,
    )
    (tmp_path / "labels.txt").write_text("red\ngreen\nblue\n")
    (tmp_path / "mean.onnx").write_bytes(data)
    return tmp_path / "mean.onnx"


async def test_a_model_is_tried_on_a_photo_and_its_labels_are_shown(
    tmp_path: Path, mean: Path, photo: Path
) -> None:
    settings = Model(path=mean, labels=tmp_path / "labels.txt")
    found = await try_out("mean", settings, tmp_path / "state", Given(image=photo), 2)
    assert found["source"] == "given"
    assert found["inputs"][0]["tensor"] == "f32 [1,3,4,4]"
    assert [label for label, _ in found["top"]] == ["red", "blue", "green"]
    assert [value for _, value in found["top"]] == pytest.approx([1, 0.4, 0.2], abs=0.01)
    assert found["memory"] > 10 << 20
    (kept,) = (tmp_path / "state" / "figures").iterdir()
    assert Figures(tmp_path / "state" / "figures").of(kept.name[:64])[0].run_ms


async def test_a_converted_model_is_tried_on_the_file_itself(tmp_path: Path, mean: Path) -> None:
    settings = config.parse(
        {
            "models": {
                "m": {
                    "path": str(mean),
                    "labels": "labels.txt",
                    "inputs": {"photo": {"convert": ["image"]}},
                    "outputs": {"mean": {"convert": ["softmax", "top_k"]}},
                    "card": {"example": {"image": "example.jpg"}},
                }
            }
        },
        tmp_path,
    ).models["m"]
    (tmp_path / "example.jpg").write_bytes(encoded(picture(30, 30), "JPEG"))
    found = await try_out("m", settings, tmp_path / "state", Given(), 1)
    assert found["source"] == "the card's example"
    best = json.loads(found["outputs"][0]["text"])
    assert {one["label"] for one in best} == {"red", "green", "blue"}
    assert found["top"] == [], "they are in the output itself"


async def test_a_converted_model_without_an_example_is_tried_on_a_sample(tmp_path: Path, mean: Path) -> None:
    tables = {"photo": {"convert": ["image"]}}
    settings = config.parse({"models": {"m": {"path": str(mean), "inputs": tables}}}, tmp_path).models["m"]
    found = await try_out("m", settings, tmp_path / "state", Given(), 1)
    assert found["source"] == "made up"
    assert found["outputs"][0]["tensor"] == "f32 [1,3]"


async def test_a_model_is_tried_on_given_arrays(tmp_path: Path) -> None:
    (tmp_path / "linear.onnx").write_bytes(linear())
    np.savez(tmp_path / "in.npz", x=np.array([[1, 2, 3, 4]]))
    settings = Model(path=tmp_path / "linear.onnx")
    found = await try_out("linear", settings, tmp_path / "state", Given(npz=tmp_path / "in.npz"), 1)
    assert found["outputs"][0]["summary"] == "3 5 7 9"
    assert found["top"] == []


async def test_inputs_are_found_for_dimensions_that_are_open(tmp_path: Path) -> None:
    wide = model(  # works from 16 on: a slice of it must have 10 columns
        [node("Slice", ["x", "from", "to"], ["y"]), node("Reshape", ["y", "shape"], ["z"])],
        [("x", FLOAT, [1, "columns"])],
        [("z", FLOAT, None)],
        [
            *(_constant(name, value) for name, value in (("from", [0, 0]), ("to", [1, 10]))),
            _constant("shape", [2, 5]),
        ],
    )
    (tmp_path / "wide.onnx").write_bytes(wide)
    settings = Model(path=tmp_path / "wide.onnx", warm_up=False)
    found = await try_out("wide", settings, tmp_path / "state", Given(), 1)
    assert found["outputs"][0]["tensor"] == "f32 [2,5]"


def _constant(name: str, values: list[int]) -> Any:
    from support.onnx_models import constant

    return constant(name, I64, [len(values)], values)


def test_arrays_are_summed_up() -> None:
    assert _summary(np.array([1.5, -2.0])) == "1.5 -2"
    assert _summary(np.arange(100)) == "min 0, mean 49.5, max 99"
    assert _summary(np.zeros((0, 3))) == "empty"


def test_the_best_labels_come_first_and_only_where_they_fit() -> None:
    labels = tuple("abcdefg")
    assert _top(np.array([[1, 7, 3, 4, 5, 6, 2]]), labels)[0] == ("b", 7.0)
    assert len(_top(np.zeros((1, 7)), labels)) == 5
    assert _top(np.zeros((1, 8)), labels) == []
    assert _top(np.zeros((1, 7)), ()) == []


async def test_a_language_model_continues_a_text(tmp_path: Path) -> None:
    settings = Model(path=tiny(tmp_path / "tiny.gguf"))
    found = await try_out("tiny", settings, tmp_path / "state", Given(text="Once"), 1)
    assert found["inputs"][0]["text"] == "Once"
    assert found["inputs"][2]["summary"] == "empty"
    assert json.loads(found["outputs"][1]["text"])["input_tokens"] == 5
    again = await try_out("tiny", settings, tmp_path / "state", Given(), 1)
    assert again["inputs"][0]["text"] == "An example."
