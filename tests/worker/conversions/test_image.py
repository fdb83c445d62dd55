"""Image files to tensors: each against the same done by hand with Pillow."""

from __future__ import annotations

import contextlib
import io
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from support.images import FORMATS, array_of, bombs, encoded, mutants, picture, png
from wasmind.config.convert import Image as Step
from wasmind.errors import ConversionFailed, ModelLoadFailed
from wasmind.nn.signature import TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.worker.conversions import image as images
from wasmind.worker.conversions.image import image


def spec(*dims: Any, kind: TensorType = TensorType.U8) -> TensorSpec:
    return TensorSpec("x", kind, dims)


def decoded(data: bytes, inner: TensorSpec, **step: Any) -> np.ndarray[Any, Any]:
    stage = image(Step(**step), inner)
    assert stage.outer == TensorSpec("x", TensorType.U8, ("x_bytes",))
    assert stage.one_row
    found = np.asarray(stage.run(array_of(data)))
    assert found.flags.c_contiguous
    return found


def refusal(data: bytes, **step: Any) -> str:
    with pytest.raises(ConversionFailed) as caught:
        decoded(data, spec("N", 8, 8, 3), **step)
    return caught.value.explain()


def by_hand(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


# --- decoding ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_what_pillow_gives(kind: str) -> None:
    data = encoded(picture(90, 60), kind)
    found = decoded(data, spec("N", 32, 32, 3), fit="stretch")
    wanted = by_hand(data).resize((32, 32), Image.Resampling.BICUBIC)
    assert np.array_equal(found, np.asarray(wanted)[np.newaxis])


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "I;16", "LA"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    made = picture(20, 20, "L").convert("I;16") if mode == "I;16" else picture(20, 20, mode)
    data = encoded(made, "PNG")
    found = decoded(data, spec(1, 20, 20, 3))
    assert np.array_equal(found[0], np.asarray(by_hand(data)))


def test_four_inks_become_rgb() -> None:
    data = encoded(picture(20, 20, "CMYK"), "JPEG")
    assert np.array_equal(decoded(data, spec(1, 20, 20, 3))[0], np.asarray(by_hand(data)))


def test_it_stands_upright_as_its_camera_said() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    data = encoded(picture(40, 20), "JPEG", exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert upright.size == (20, 40)
    found = decoded(data, spec(1, 40, 20, 3))
    assert np.array_equal(found[0], np.asarray(upright))
    lying = decoded(data, spec(1, 20, 40, 3), upright=False)
    assert np.array_equal(lying[0], np.asarray(by_hand(data)))


# --- the model's side -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dims", "order"),
    [
        (("N", 10, 12, 3), lambda a: a[None]),
        ((1, 3, 10, 12), lambda a: a.transpose(2, 0, 1)[None]),
        ((10, 12, 3), lambda a: a),
        ((3, 10, 12), lambda a: a.transpose(2, 0, 1)),
    ],
)
def test_the_models_layout_is_seen_from_its_dimensions(dims: tuple[Any, ...], order: Any) -> None:
    data = encoded(picture(12, 10), "PNG")
    pixels = np.asarray(by_hand(data))
    found = decoded(data, spec(*dims, kind=TensorType.F32))
    assert found.dtype == np.float32
    assert np.array_equal(found, order(pixels).astype(np.float32))


def test_colours_in_another_order_and_none() -> None:
    data = encoded(picture(12, 10), "PNG")
    pixels = np.asarray(by_hand(data))
    assert np.array_equal(decoded(data, spec(1, 10, 12, 3), colour="bgr")[0], pixels[:, :, ::-1])
    grey = decoded(data, spec(1, 1, 10, 12), colour="grey")
    assert np.array_equal(grey[0, 0], np.asarray(by_hand(data).convert("L")))


def test_open_sizes_and_layouts_are_told() -> None:
    data = encoded(picture(20, 20), "PNG")
    assert decoded(data, spec("N", 3, "H", "W"), size=(6, 8)).shape == (1, 3, 6, 8)
    assert decoded(data, spec("N", "C", 6, 8), layout="NCHW", colour="rgb").shape == (1, 3, 6, 8)
    assert decoded(data, spec(3, 6, 3), layout="HWC").shape == (3, 6, 3)


@pytest.mark.parametrize(
    ("inner", "step", "words"),
    [
        (spec("N", 3, "H", "W"), {}, "give image.size"),
        (spec(1, 3, 224, 224), {"size": (224, 256)}, "its width is 224, not 256"),
        (spec(8, 3, 4, 4), {}, "it takes 8 images at once"),
        (spec(1, 4, 4, 4), {}, "where its 3 channels are"),
        (spec(1, 3, 4, 3), {}, "where its 3 channels are"),
        (spec(1, 3, 4, 4), {"colour": "grey"}, "where its 1 channels are"),
        (spec(1, 3, 4, 4), {"layout": "NHWC"}, "where its 3 channels are"),
        (spec(1, 1000), {}, "an image has 3 dimensions"),
        (TensorSpec("x", TensorType.F32, None), {}, "an image has 3 dimensions"),
    ],
)
def test_what_does_not_fit_the_model_is_refused_at_the_start(
    inner: TensorSpec, step: dict[str, Any], words: str
) -> None:
    with pytest.raises(ModelLoadFailed) as caught:
        image(Step(**step), inner)
    assert words in caught.value.explain()


# --- size -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "height"), [(90, 60), (60, 90), (50, 50), (300, 7)])
def test_cover_takes_the_middle(width: int, height: int) -> None:
    data = encoded(picture(width, height), "PNG")
    found = decoded(data, spec(1, 24, 32, 3), keep=0.875, filter="bilinear")
    share = min(width / 32, height / 24) * 0.875
    left, top = (width - 32 * share) / 2, (height - 24 * share) / 2
    box = (left, top, left + 32 * share, top + 24 * share)
    wanted = by_hand(data).resize((32, 24), Image.Resampling.BILINEAR, box=box)
    assert np.array_equal(found[0], np.asarray(wanted))


@pytest.mark.parametrize(("width", "height"), [(90, 60), (60, 91)])
def test_a_shorter_side_is_scaled_and_the_middle_cut_out(width: int, height: int) -> None:
    data = encoded(picture(width, height), "PNG")
    found = decoded(data, spec(1, 28, 28, 3), shorter_side=32, filter="bilinear")
    scaled = (int(32 * width / height), 32) if width > height else (32, int(32 * height / width))
    small = by_hand(data).resize(scaled, Image.Resampling.BILINEAR)
    left, top = round((scaled[0] - 28) / 2), round((scaled[1] - 28) / 2)
    assert np.array_equal(found[0], np.asarray(small.crop((left, top, left + 28, top + 28))))


def test_contain_keeps_all_of_it_and_fills_around() -> None:
    data = encoded(picture(80, 40), "PNG")
    found = decoded(data, spec(1, 20, 20, 3), fit="contain", fill=(114, 114, 114))[0]
    inside = np.asarray(by_hand(data).resize((20, 10), Image.Resampling.BICUBIC))
    assert np.array_equal(found[5:15], inside)
    assert (found[:5] == 114).all()
    assert (found[15:] == 114).all()
    grey = decoded(data, spec(1, 1, 20, 20), fit="contain", colour="grey", fill=(9, 0, 0))
    assert (grey[0, 0, :5] == 9).all()


def test_one_line_of_pixels_is_an_image_too() -> None:
    for width, height in ((1, 1), (4000, 1), (1, 4000)):
        data = encoded(picture(width, height), "PNG")
        for step in ({}, {"fit": "contain"}, {"fit": "stretch"}):
            assert decoded(data, spec(1, 8, 8, 3), **step).shape == (1, 8, 8, 3)
    assert "too long" in refusal(encoded(picture(16_000, 1), "PNG"), shorter_side=256)


def test_a_large_jpeg_is_decoded_small_if_asked_for() -> None:
    data = encoded(picture(400, 300).resize((1600, 1200), Image.Resampling.BICUBIC), "JPEG", quality=95)
    inner = spec(1, 64, 64, 3)
    slow, fast = decoded(data, inner), decoded(data, inner, fast=True)
    opened = Image.open(io.BytesIO(data))
    opened.draft("RGB", (128, 128))
    assert opened.size == (200, 150), "an eighth"
    side = 150.0
    wanted = opened.convert("RGB").resize(
        (64, 64), Image.Resampling.BICUBIC, box=(25.0, 0.0, 25.0 + side, side)
    )
    assert np.array_equal(fast[0], np.asarray(wanted))
    assert np.abs(fast.astype(int) - slow).mean() < 4
    assert np.array_equal(
        decoded(data, spec(1, 800, 800, 3), fast=True), decoded(data, spec(1, 800, 800, 3))
    ), "nothing is decoded smaller than twice what is wanted"
    small = encoded(picture(90, 60), "PNG")
    assert np.array_equal(decoded(small, inner, fast=True), decoded(small, inner))


# --- what is no image, or too much of one -------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"hello", b"GIF89a" + bytes(50), b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP"])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    words = refusal(data)
    assert "no JPEG, PNG or WebP image" in words
    assert "base64" in words


@pytest.mark.parametrize("kind", FORMATS)
def test_half_an_image_is_refused(kind: str) -> None:
    data = encoded(picture(90, 60), kind)
    assert "cannot be decoded" in refusal(data[: len(data) // 2])


def test_limits_are_the_operators() -> None:
    data = encoded(picture(50, 50), "PNG")
    assert "50 x 50 pixels; at most 2499 are decoded" in refusal(data, max_pixels=2499)
    assert f"an image of {len(data)} bytes" in refusal(data, max_bytes=len(data) - 1)
    assert decoded(data, spec(1, 8, 8, 3), max_pixels=2500, max_bytes=len(data)).shape == (1, 8, 8, 3)


@pytest.mark.parametrize("name", bombs())
def test_bombs_are_refused_before_anything_is_decoded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: object, **__: object) -> None:
        pytest.fail("it was opened")

    monkeypatch.setattr(images.Image, "open", opened)
    assert "at most 25000000 are decoded" in refusal(bombs()[name])


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    data = encoded(picture(64, 64), "JPEG", progressive=True)
    scan = data[data.index(b"\xff\xda") : -2]
    assert "scans" in refusal(data[:-2] + scan * 200 + b"\xff\xd9")


def test_what_a_png_holds_beside_its_pixels_stays_packed() -> None:
    import zlib

    bomb = zlib.compress(bytes(60 << 20), 1)
    pixels = zlib.compress(b"\0" * (8 * 3 + 1) * 8)
    data = png(8, 8, (b"iCCP", b"x\0\0" + bomb), (b"zTXt", b"x\0\0" + bomb), (b"IDAT", pixels))
    began = time.process_time()
    with contextlib.suppress(ConversionFailed):
        decoded(data, spec(1, 8, 8, 3))
    assert time.process_time() - began < 0.1, "unpacking takes longer"


def test_hostile_images_give_an_answer_or_an_error() -> None:
    stage = image(Step(), spec("N", 16, 16, 3))
    answers = refusals = 0
    for data in mutants(400):
        try:
            found = stage.run(array_of(data))
        except ConversionFailed:
            refusals += 1
        else:
            assert found.shape == (1, 16, 16, 3)
            answers += 1
    assert answers > 20
    assert refusals > 20


def test_the_examples_are_images() -> None:
    for data in images.examples():
        assert decoded(data, spec(1, 8, 8, 3)).mean() > 50
