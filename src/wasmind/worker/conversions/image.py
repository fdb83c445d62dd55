"""Image files to pixels, by Pillow.

Whoever sends the file is not trusted: its format and its announced size are looked at before anything is
decoded, and whatever a decoder raises is an error of this one input.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

try:
    from PIL import (  # noqa: F401 - all that decoding may ask for later, when no file can be opened
        ExifTags,
        Image,
        ImageFile,
        ImageOps,
        JpegImagePlugin,
        MpoImagePlugin,
        PngImagePlugin,
        TiffImagePlugin,
        TiffTags,
        WebPImagePlugin,
    )
except ModuleNotFoundError as error:
    from wasmind.errors import PackageMissing

    raise PackageMissing(
        "an `image` conversion needs Pillow", cause=str(error), remedy="pip install 'wasmind[image]'"
    ) from error

from wasmind.errors import ConversionFailed
from wasmind.nn.files import image_format
from wasmind.nn.signature import TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.worker.conversions.numbers import converted
from wasmind.worker.conversions.stage import Stage, impossible
from wasmind.worker.runtimes.base import DTYPES

if TYPE_CHECKING:
    from wasmind.config.convert import Image as Step
    from wasmind.nn.signature import Dim
    from wasmind.worker.runtimes.base import Array

MAX_SCANS = 100
"""A progressive JPEG is decoded once for each of its scans; encoders make about ten."""

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_START_OF_SCAN = b"\xff\xda"

Image.preinit()
Image.MAX_IMAGE_PIXELS = None  # the conversion has a limit of its own


class _Target:
    """What the model's input says of its image."""

    def __init__(self, step: Step, inner: TensorSpec) -> None:
        dims, self.channels = inner.dims, 1 if step.colour == "grey" else 3
        if dims is None or len(dims) not in (3, 4):
            impossible("image", inner, "an image has 3 dimensions, or 4 with the batch", "leave the step out")
        self.batched = len(dims) == 4
        if self.batched and dims[0] != 1 and isinstance(dims[0], int):
            impossible(
                "image", inner, f"it takes {dims[0]} images at once", "export the model with an open batch"
            )
        own = dims[-3:]
        self.first = self._channels_first(step, inner, own)
        height, width = own[1:] if self.first else own[:2]
        wanted = step.size or (height, width)
        if not isinstance(wanted[0], int) or not isinstance(wanted[1], int):
            impossible("image", inner, "its height and width are open", "give image.size = [HEIGHT, WIDTH]")
        for name, size, declared in zip(("height", "width"), wanted, (height, width), strict=True):
            if isinstance(declared, int) and declared != size:
                impossible("image", inner, f"its {name} is {declared}, not {size}", "leave image.size out")
        self.size = (wanted[1], wanted[0])
        """As Pillow has it: width and height."""

    def _channels_first(self, step: Step, inner: TensorSpec, own: tuple[Dim, ...]) -> bool:
        fitting = [place for place in (0, 2) if own[place] == self.channels]
        if step.layout is not None:
            place = 0 if step.layout in ("NCHW", "CHW") else 2
            if place in fitting or not isinstance(own[place], int):
                return place == 0
        elif len(fitting) == 1:
            return fitting == [0]
        return impossible(
            "image",
            inner,
            f"it is not clear where its {self.channels} channels are",
            'say so with image.layout = "NHWC" or "NCHW", or give another image.colour',
        )


def image(step: Step, inner: TensorSpec) -> Stage:
    """An image file to the model's tensor: its size, its layout, its type; values from 0 to 255."""
    target, kind = _Target(step, inner), DTYPES[inner.type]
    outer = TensorSpec(inner.name, TensorType.U8, (f"{inner.name}_bytes",))

    def run(array: Array) -> Array:
        try:
            pixels = _pixels(array.tobytes(), step, target.size, inner.name)
        except ConversionFailed:
            raise
        except Exception as error:
            raise ConversionFailed(
                f'input "{inner.name}": the image cannot be decoded',
                cause=str(error)[:500] or type(error).__name__,
                remedy="check that the whole file was sent, and that it opens elsewhere",
            ) from error
        if pixels.ndim == 2:
            pixels = pixels[:, :, np.newaxis]
        if step.colour == "bgr":
            pixels = pixels[:, :, ::-1]
        if target.first:
            pixels = pixels.transpose(2, 0, 1)
        if target.batched:
            pixels = pixels[np.newaxis]
        return np.ascontiguousarray(converted(pixels, kind))

    return Stage(outer, run, one_row=True)


def _pixels(data: bytes, step: Step, size: tuple[int, int], name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Decode and resize; `size` is width and height. Raises ConversionFailed, and whatever Pillow raises."""
    kind = _checked(data, step, name)
    with Image.open(io.BytesIO(data), formats=(kind,)) as opened:
        _check_size(*opened.size, step, name)
        if step.fast:
            opened.draft(None, _enough(step, size))
        found = ImageOps.exif_transpose(opened) if step.upright else opened
        found = found.convert("L" if step.colour == "grey" else "RGB")
    return np.asarray(_resized(found, step, size))


def _checked(data: bytes, step: Step, name: str) -> str:
    """The file's format, once its first bytes and its announced size are seen. Raises ConversionFailed."""
    if len(data) > step.max_bytes:
        raise ConversionFailed(
            f'input "{name}": an image of {len(data)} bytes, and at most {step.max_bytes} are taken',
            remedy="send a smaller file, or raise image.max_bytes in the model's configuration",
        )
    found = image_format(data)
    if found is None:
        raise ConversionFailed(
            f'input "{name}": these {len(data)} bytes are no JPEG, PNG or WebP image',
            cause=f"they begin with {data[:8].hex(' ') or 'nothing'}",
            remedy="send the bytes of the file as it is: not in base64, not in a form, not decoded",
        )
    kind, width, height = found
    _check_size(width, height, step, name)
    if kind == "JPEG" and data.count(_START_OF_SCAN) > MAX_SCANS:
        raise ConversionFailed(
            f'input "{name}": a progressive JPEG of more than {MAX_SCANS} scans',
            cause="each is decoded over the whole image",
            remedy="save it again as a usual JPEG",
        )
    return kind


def _check_size(width: int, height: int, step: Step, name: str) -> None:
    if width * height > step.max_pixels:
        raise ConversionFailed(
            f'input "{name}": an image of {width} x {height} pixels; at most {step.max_pixels} are decoded',
            remedy="send a smaller image, or raise image.max_pixels in the model's configuration",
        )


def _enough(step: Step, size: tuple[int, int]) -> tuple[int, int]:
    """The size that a decoder may not go below: twice what is wanted, whichever way the image lies."""
    longest = max(step.shorter_side or 0, int(max(size) / step.keep) + 1)
    return 2 * longest, 2 * longest


def _resized(found: Image.Image, step: Step, size: tuple[int, int]) -> Image.Image:
    resample = _FILTERS[step.filter]
    if step.fit == "stretch":
        return found if found.size == size else found.resize(size, resample)
    if step.fit == "contain":
        return _contained(found, step, size, resample)
    if step.shorter_side is not None:
        return _cut(found, step.shorter_side, size, resample)
    # The largest part of the image's middle that has the target's shape, or `keep` of it.
    share = min(found.width / size[0], found.height / size[1]) * step.keep
    width, height = size[0] * share, size[1] * share
    left, top = (found.width - width) / 2, (found.height - height) / 2
    return found.resize(size, resample, box=(left, top, left + width, top + height))


def _contained(
    found: Image.Image, step: Step, size: tuple[int, int], resample: Image.Resampling
) -> Image.Image:
    share = min(size[0] / found.width, size[1] / found.height)
    inside = tuple(
        max(1, min(most, round(side * share))) for most, side in zip(size, found.size, strict=True)
    )
    small = found.resize((inside[0], inside[1]), resample)
    if small.size == size:
        return small
    fill: Any = step.fill[0] if step.colour == "grey" else step.fill
    around = Image.new(found.mode, size, fill)
    around.paste(small, ((size[0] - small.width) // 2, (size[1] - small.height) // 2))
    return around


def _cut(found: Image.Image, shorter: int, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:
    """Scale the shorter side, then cut out the middle, as torchvision's Resize and CenterCrop do."""
    width, height = found.size
    scaled = (
        (shorter, int(shorter * height / width))
        if width <= height
        else (int(shorter * width / height), shorter)
    )
    if scaled[0] * scaled[1] > 1 << 24:
        raise ConversionFailed(
            f"an image of {width} x {height} pixels is too long to scale its shorter side to {shorter}"
        )
    found = found.resize(scaled, resample)
    left, top = round((scaled[0] - size[0]) / 2), round((scaled[1] - size[1]) / 2)
    return found.crop((left, top, left + size[0], top + size[1]))


def examples() -> list[bytes]:
    """Small images in every format, to have decoded before the process is closed."""
    found = []
    for kind in ("JPEG", "PNG", "WEBP"):
        with io.BytesIO() as file:
            Image.new("RGB", (16, 16), (200, 100, 50)).save(file, kind)
            found.append(file.getvalue())
    return found
