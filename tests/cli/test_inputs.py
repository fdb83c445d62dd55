"""Inputs to try a model with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from wasmind import config
from wasmind.cli.inputs import Converted, from_image, from_npz
from wasmind.errors import InvalidArgument, InvalidTensor
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import TensorType

if TYPE_CHECKING:
    from pathlib import Path

LINEAR = Signature((TensorSpec("x", TensorType.F32, (1, 4)),), ())


def image(type_: TensorType, *dims: int | str | None) -> Signature:
    return Signature((TensorSpec("photo", type_, dims),), ())


def converted(tmp_path: Path, signature: Signature, **inputs: list[Any]) -> Converted:
    tables = {name: {"convert": steps} for name, steps in inputs.items()}
    settings = config.parse({"models": {"m": {"path": "m", "inputs": tables}}}, tmp_path).models["m"]
    return Converted(signature, settings)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Nine by seven pixels of one colour."""
    from PIL import Image

    Image.new("RGB", (9, 7), (255, 51, 102)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


BYTES = Signature(
    (
        TensorSpec("image", TensorType.U8, ("image_bytes",)),
        TensorSpec("text", TensorType.U8, ("text_bytes",)),
        TensorSpec("scale", TensorType.F32, (2,)),
    ),
    (),
)
TEXT = {"text": {"tokenizer": "t.json"}}


def test_files_and_texts_go_where_they_are_converted(tmp_path: Path, photo: Path) -> None:
    found = converted(tmp_path, BYTES, image=["image"], text=[TEXT])
    arrays = found.with_image(photo)
    assert arrays[0].tobytes() == photo.read_bytes(), "as it is"
    assert arrays[2].shape == (2,), "the others are made up"
    assert found.with_text("hällo")[1].tobytes() == "hällo".encode()
    samples = found.with_samples()
    assert samples is not None
    assert samples[0].tobytes().startswith(b"\xff\xd8")
    assert samples[1].tobytes() == b"An example."
    assert converted(tmp_path, LINEAR).with_samples() is None


def test_a_text_goes_to_the_one_input_of_bytes(tmp_path: Path) -> None:
    prompt = Signature((TensorSpec("prompt", TensorType.U8, ("N",)),), ())
    assert converted(tmp_path, prompt).with_text("hi")[0].tobytes() == b"hi"


def test_a_language_model_gets_a_text_and_options_for_a_short_answer(tmp_path: Path) -> None:
    signature = Signature(
        (
            TensorSpec("prompt", TensorType.U8, ("N",)),
            TensorSpec("options", TensorType.U8, (None,), optional=True),
            TensorSpec("config", TensorType.U8, (None,), optional=True),
        ),
        (),
        steps=True,
    )
    found = converted(tmp_path, signature)
    expected = [b"hi", b'{"temp": 0, "n-predict": 32}', b""]
    assert [array.tobytes() for array in found.with_text("hi")] == expected
    samples = found.with_samples()
    assert samples is not None
    assert [array.tobytes() for array in samples][1:] == expected[1:]
    np.savez(tmp_path / "in.npz", prompt=np.frombuffer(b"hi", np.uint8))
    assert [array.tobytes() for array in from_npz(tmp_path / "in.npz", signature)] == expected


def test_what_takes_no_text_or_photo_says_so(tmp_path: Path, photo: Path) -> None:
    with pytest.raises(InvalidTensor, match="no input that takes a text") as caught:
        converted(tmp_path, LINEAR).with_text("hi")
    assert "declare a `text` conversion" in caught.value.explain()
    images = Signature(BYTES.inputs[:1], ())
    with pytest.raises(InvalidTensor, match="no input that takes a text"):
        converted(tmp_path, images, image=["image"]).with_text("hi")
    with pytest.raises(InvalidTensor, match="the text is empty"):
        converted(tmp_path, BYTES, text=[TEXT]).with_text("")
    with pytest.raises(InvalidArgument, match="cannot be read as a photo"):
        converted(tmp_path, BYTES, image=["image"]).with_image(tmp_path / "gone.jpg")


def test_arrays_are_taken_by_the_inputs_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "both.npz", y=np.zeros(1), x=np.ones(4))
    (array,) = from_npz(tmp_path / "both.npz", LINEAR)
    assert array.tolist() == [1, 1, 1, 1]
    np.savez(tmp_path / "other.npz", y=np.zeros(1))
    with pytest.raises(InvalidArgument, match="lacks the input 'x'") as refused:
        from_npz(tmp_path / "other.npz", LINEAR)
    assert refused.value.cause == "it has y"


def test_what_is_no_npz_is_refused_and_no_pickle_is_read(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "pickle.npz", x=np.array([{"a": 1}], dtype=object))
    for name in ("text.npz", "pickle.npz", "gone.npz"):
        with pytest.raises(InvalidArgument, match="cannot be read"):
            from_npz(tmp_path / name, LINEAR)


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
    (array,) = from_image(photo, signature)
    assert array.shape == shape
    assert array.max() == red


@pytest.mark.parametrize(
    "signature",
    [LINEAR, image(TensorType.F32, 1, 4, 5, 6), image(TensorType.F32), Signature(LINEAR.inputs * 2, ())],
)
def test_a_model_that_takes_no_photo_says_so(photo: Path, signature: Signature) -> None:
    with pytest.raises(InvalidTensor, match="no input that takes a photo"):
        from_image(photo, signature)


def test_what_is_no_photo_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no photo")
    with pytest.raises(InvalidArgument, match="cannot be read as a photo"):
        from_image(tmp_path / "text.png", image(TensorType.F32, 1, 3, 4, 4))
