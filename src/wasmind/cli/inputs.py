"""Inputs to try a model with: arrays from a file, a photo, a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from wasmind.errors import InvalidArgument, InvalidTensor, PackageMissing
from wasmind.nn.tensor import TensorType
from wasmind.worker.runtimes.base import DTYPES
from wasmind.worker.warm import made_up

if TYPE_CHECKING:
    from pathlib import Path

    from wasmind.config import Model
    from wasmind.nn.signature import Signature, TensorSpec

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"
_SAMPLE_TEXT = "An example."
_OPTIONS = b'{"temp": 0, "n-predict": 32}'
"""What a language model is tried with: the same text each time, and a short one."""


class Converted:
    """A model's inputs, some of which the node converts from a file or a text."""

    def __init__(self, signature: Signature, settings: Model) -> None:
        self._signature = signature
        self._first = {name: one.steps[0].kinds[0] for name, one in settings.inputs.items() if one.steps}

    def with_text(self, text: str) -> list[Array]:
        """A text for the input that takes one, the others made up. Raises InvalidTensor."""
        places = self._places("text") or [
            index
            for index, spec in enumerate(self._signature.inputs)
            if _takes_bytes(spec) and spec.name not in self._first
        ]
        if len(places) != 1 or not text:
            raise InvalidTensor(
                "the model has no input that takes a text" if text else "the text is empty",
                cause=f"its inputs are {_listed(self._signature)}",
                remedy="declare a `text` conversion with the model, or give the inputs with --npz FILE",
            )
        return self._filled({places[0]: text.encode()})

    def with_image(self, path: Path) -> list[Array]:
        """A photo for the input that takes one: the file as it is where the node decodes it."""
        places = self._places("image")
        if not places:
            return from_image(path, self._signature)
        try:
            return self._filled({places[0]: path.read_bytes()})
        except OSError as error:
            raise InvalidArgument(f"{path} cannot be read as a photo", cause=error.strerror) from error

    def with_samples(self) -> list[Array] | None:
        """Small samples for what is converted from a file or a text; None where nothing is."""
        if self._signature.steps:
            return self.with_text(_SAMPLE_TEXT)
        images, texts = self._places("image"), self._places("text")
        if not images and not texts:
            return None
        found = dict.fromkeys(texts, _SAMPLE_TEXT.encode())
        if images:
            try:
                from wasmind.worker.conversions.image import examples
            except PackageMissing as error:
                raise InvalidArgument(error.message, cause=error.cause, remedy=error.remedy) from error
            found.update(dict.fromkeys(images, examples()[0]))
        return self._filled(found)

    def _places(self, kind: str) -> list[int]:
        return [
            index for index, spec in enumerate(self._signature.inputs) if self._first.get(spec.name) == kind
        ]

    def _filled(self, given: dict[int, bytes]) -> list[Array]:
        arrays = made_up(self._signature, 1, seed=0)
        for index, data in given.items():
            arrays[index] = np.frombuffer(data, np.uint8)
        return [
            _left_out(spec, self._signature) if spec.optional and index not in given else array
            for index, (spec, array) in enumerate(zip(self._signature.inputs, arrays, strict=True))
        ]


def from_npz(path: Path, signature: Signature) -> list[Array]:
    """Arrays by the names of the inputs. Raises InvalidArgument."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError) as error:
        raise InvalidArgument(
            f"{path} cannot be read as .npz", cause=str(error), remedy="write it with numpy.savez(FILE, x=…)"
        ) from error
    for spec in signature.inputs:
        if spec.optional:
            arrays.setdefault(spec.name, _left_out(spec, signature))
    missing = [spec.name for spec in signature.inputs if spec.name not in arrays]
    if missing:
        raise InvalidArgument(
            f"{path} lacks the input {missing[0]!r}",
            cause=f"it has {', '.join(arrays) or 'nothing'}",
            remedy=f"name the arrays as the inputs: {', '.join(spec.name for spec in signature.inputs)}",
        )
    return [arrays[spec.name] for spec in signature.inputs]


def from_image(path: Path, signature: Signature) -> list[Array]:
    """A photo, resized to the model's one image input; floats are 0 to 1. Raises InvalidArgument."""
    try:
        from PIL import Image
    except ImportError as error:
        raise InvalidArgument(
            "reading a photo needs Pillow", remedy="pip install 'wasmind[image]'; or give --npz"
        ) from error
    spec, height, width, first = _image_input(signature)
    try:
        photo = Image.open(path).convert("RGB").resize((width, height))
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be read as a photo", cause=str(error)) from error
    array = np.asarray(photo)[np.newaxis]
    if first:
        array = array.transpose(0, 3, 1, 2)
    scaled = array if DTYPES[spec.type].kind in "iu" else array / 255
    return [scaled.astype(DTYPES[spec.type])]


def _image_input(signature: Signature) -> tuple[TensorSpec, int, int, bool]:
    """The image input, its height and width (224 where open), and whether channels come first."""
    spec = signature.inputs[0]
    dims = spec.dims or ()
    if len(signature.inputs) == 1 and len(dims) == 4 and 3 in (dims[1], dims[3]):
        first = dims[1] == 3
        height, width = dims[2:4] if first else dims[1:3]
        return (
            spec,
            height if isinstance(height, int) else 224,
            width if isinstance(width, int) else 224,
            first,
        )
    raise InvalidTensor(
        "the model has no input that takes a photo",
        cause=f"its inputs are {_listed(signature)}",
        remedy="declare an `image` conversion with the model, or give the inputs with --npz FILE",
    )


def _left_out(spec: TensorSpec, signature: Signature) -> Array:
    """An input that need not be given."""
    told = _OPTIONS if signature.steps and spec.name == "options" else b""
    return np.frombuffer(told, np.uint8).astype(DTYPES[spec.type])


def _takes_bytes(spec: TensorSpec) -> bool:
    return (
        not spec.optional
        and spec.type is TensorType.U8
        and spec.dims is not None
        and len(spec.dims) == 1
        and not (isinstance(spec.dims[0], int))
    )


def _listed(signature: Signature) -> str:
    return ", ".join(f"{one.name}: {one}" for one in signature.inputs)
