"""A model looked at closely: tried on random input, on arrays, on a photo; its best labels shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from support.onnx_models import FLOAT, I64, linear, model, node
from wasmind.cli.inspect import _from_image, _from_npz, _summary, _top, describe, try_out
from wasmind.config import Model
from wasmind.errors import InvalidArgument, InvalidTensor
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import TensorType

if TYPE_CHECKING:
    from pathlib import Path

LINEAR = Signature((TensorSpec("x", TensorType.F32, (1, 4)),), ())


def image(type_: TensorType, *dims: int | str | None) -> Signature:
    return Signature((TensorSpec("photo", type_, dims),), ())


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Nine by seven pixels of one colour."""
    from PIL import Image

    Image.new("RGB", (9, 7), (255, 51, 102)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


async def test_a_model_is_tried_on_a_photo_and_its_labels_are_shown(tmp_path: Path, photo: Path) -> None:
    mean = model(
        [node("ReduceMean", ["photo"], ["mean"], axes=[2, 3], keepdims=0)],
        [("photo", FLOAT, ["N", 3, 4, 4])],
        [("mean", FLOAT, ["N", 3])],
        opset=13,
    )
    (tmp_path / "mean.onnx").write_bytes(mean)
    (tmp_path / "labels.txt").write_text("red\ngreen\nblue\n")
    settings = Model(path=tmp_path / "mean.onnx", labels=tmp_path / "labels.txt")
    found = await try_out("mean", settings, None, photo, 2)
    assert found["inputs"][0]["tensor"] == "f32 [1,3,4,4]"
    assert [label for label, _ in found["top"]] == ["red", "blue", "green"]
    assert [value for _, value in found["top"]] == pytest.approx([1, 0.4, 0.2], abs=0.01)
    assert found["memory"] > 10 << 20


async def test_a_model_is_tried_on_given_arrays(tmp_path: Path) -> None:
    (tmp_path / "linear.onnx").write_bytes(linear())
    np.savez(tmp_path / "in.npz", x=np.array([[1, 2, 3, 4]]))
    found = await try_out("linear", Model(path=tmp_path / "linear.onnx"), tmp_path / "in.npz", None, 1)
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
    found = await try_out("wide", settings, None, None, 1)
    assert found["outputs"][0]["tensor"] == "f32 [2,5]"


def _constant(name: str, values: list[int]) -> Any:
    from support.onnx_models import constant

    return constant(name, I64, [len(values)], values)


async def test_a_model_is_described_from_what_is_kept(tmp_path: Path) -> None:
    (tmp_path / "linear.onnx").write_bytes(linear())
    settings = Model(path=tmp_path / "linear.onnx", description="words")
    first = await describe("linear", settings, tmp_path / "state")
    kept = list((tmp_path / "state" / "signatures").iterdir())
    assert len(kept) == 1
    assert await describe("linear", settings, tmp_path / "state") == first
    assert first["inputs"] == [{"name": "x", "tensor": "f32 [1,4]"}]
    assert first["description"] == "words"


def test_arrays_are_taken_by_the_inputs_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "both.npz", y=np.zeros(1), x=np.ones(4))
    (array,) = _from_npz(tmp_path / "both.npz", LINEAR)
    assert array.tolist() == [1, 1, 1, 1]
    np.savez(tmp_path / "other.npz", y=np.zeros(1))
    with pytest.raises(InvalidArgument, match="lacks the input 'x'") as refused:
        _from_npz(tmp_path / "other.npz", LINEAR)
    assert refused.value.cause == "it has y"


def test_what_is_no_npz_is_refused_and_no_pickle_is_read(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "pickle.npz", x=np.array([{"a": 1}], dtype=object))
    for name in ("text.npz", "pickle.npz", "gone.npz"):
        with pytest.raises(InvalidArgument, match="cannot be read"):
            _from_npz(tmp_path / name, LINEAR)


@pytest.mark.parametrize(
    ("signature", "shape", "red"),
    [
        (image(TensorType.F32, "N", 3, 8, 6), (1, 3, 8, 6), 1.0),
        (image(TensorType.F32, 1, 8, 6, 3), (1, 8, 6, 3), 1.0),
        (image(TensorType.U8, None, None, None, 3), (1, 224, 224, 3), 255),
        (image(TensorType.F16, "N", 3, "H", "W"), (1, 3, 224, 224), 1.0),
    ],
)
def test_a_photo_becomes_what_the_model_takes(
    photo: Path, signature: Signature, shape: tuple[int, ...], red: float
) -> None:
    (array,) = _from_image(photo, signature)
    assert array.shape == shape
    assert array.max() == red


@pytest.mark.parametrize(
    "signature",
    [LINEAR, image(TensorType.F32, 1, 4, 5, 6), image(TensorType.F32), Signature(LINEAR.inputs * 2, ())],
)
def test_a_model_that_takes_no_photo_says_so(photo: Path, signature: Signature) -> None:
    with pytest.raises(InvalidTensor, match="no input that takes a photo"):
        _from_image(photo, signature)


def test_what_is_no_photo_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no photo")
    with pytest.raises(InvalidArgument, match="cannot be read as a photo"):
        _from_image(tmp_path / "text.png", image(TensorType.F32, 1, 3, 4, 4))


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
