"""Which runtimes read an encoding, and which of them are installed. No framework is imported to tell."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from wasmind.errors import InvalidEncoding

if TYPE_CHECKING:
    from wasmind.config import Encoding, Runtime


class Package(NamedTuple):
    """What a runtime is made of."""

    module: str
    """The module that it imports."""
    distribution: str
    """The package that has it."""


PACKAGES: dict[Runtime, Package] = {
    "onnx": Package("onnxruntime", "onnxruntime"),
    "openvino": Package("openvino", "openvino"),
    "tflite": Package("ai_edge_litert", "ai-edge-litert"),
    "pytorch": Package("torch", "torch"),
    "tensorflow": Package("tensorflow", "tensorflow-cpu"),
    "ggml": Package("xllamacpp", "xllamacpp"),
}

READERS: dict[Encoding, tuple[Runtime, ...]] = {
    "onnx": ("onnx", "openvino"),
    "openvino": ("openvino",),
    "tensorflow": ("openvino", "tensorflow"),
    "tensorflowlite": ("tflite", "openvino"),
    "pytorch": ("pytorch",),
    "ggml": ("ggml",),
}
"""The runtimes that read an encoding, the most fitting first."""


def installed(runtime: Runtime) -> bool:
    """Whether the framework of a runtime is there."""
    return find_spec(PACKAGES[runtime].module) is not None


def installed_version(runtime: Runtime) -> str | None:
    """The version of a runtime's framework; None when it is not installed."""
    if not installed(runtime):
        return None
    try:
        return version(PACKAGES[runtime].distribution)
    except PackageNotFoundError:
        return "of a package of another name"  # such as onnxruntime-gpu or tensorflow


def runtime_for(encoding: Encoding, wanted: Runtime | None = None) -> Runtime:
    """The runtime that serves an encoding: the operator's choice where it can, else the first installed.

    Where none is, the first of all: its worker says how to install it. Raises InvalidEncoding for a runtime
    that does not read the encoding.
    """
    readers = READERS[encoding]
    if wanted is None:
        return next(filter(installed, readers), readers[0])
    if wanted not in readers:
        raise InvalidEncoding(
            f"the runtime {wanted} does not read {encoding}",
            remedy=f"use {' or '.join(readers)}, or leave `runtime` out",
        )
    return wanted
