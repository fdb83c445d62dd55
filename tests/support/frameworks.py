"""Every runtime with a model it reads: y = 2x + 1 for f32 [1,4], in each encoding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from support import onnx_models, openvino_models, saved_models
from wasmind.catalog.runtimes import PACKAGES, installed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Linear(NamedTuple):
    """A runtime, an encoding, and how to write the model."""

    runtime: Any
    encoding: Any
    write: Callable[[Path], Path]

    @property
    def settings(self) -> dict[str, Any]:
        """What a WorkerSpec has to say."""
        return {"runtime": self.runtime, "encoding": self.encoding}


def _onnx(directory: Path) -> Path:
    path = directory / "linear.onnx"
    path.write_bytes(onnx_models.linear())
    return path


def _tflite(directory: Path) -> Path:
    from support import tflite_models

    path = directory / "linear.tflite"
    path.write_bytes(tflite_models.linear())
    return path


def _torchscript(directory: Path) -> Path:
    from support import torchscript_models

    return torchscript_models.write(directory, "linear")


LINEAR = [
    Linear("onnx", "onnx", _onnx),
    Linear("openvino", "openvino", openvino_models.write),
    Linear("openvino", "onnx", _onnx),
    Linear("openvino", "tensorflowlite", _tflite),
    Linear("openvino", "tensorflow", saved_models.write),
    Linear("tflite", "tensorflowlite", _tflite),
    Linear("pytorch", "pytorch", _torchscript),
    Linear("tensorflow", "tensorflow", saved_models.write),
]


def needs(*runtimes: Any) -> pytest.MarkDecorator:
    """Skip where the frameworks of these runtimes are not installed."""
    missing = [PACKAGES[name].distribution for name in runtimes if not installed(name)]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


EACH = [
    pytest.param(
        one,
        id=f"{one.runtime}-{one.encoding}",
        marks=[needs(one.runtime), *([pytest.mark.slow] if one.runtime in ("pytorch", "tensorflow") else [])],
    )
    for one in LINEAR
]
"""`LINEAR` for parametrize; what takes seconds to import is slow."""

ONCE = [
    param
    for at, param in enumerate(EACH)
    if LINEAR[at].runtime not in [other.runtime for other in LINEAR[:at]]
]
"""One model for each runtime."""
