"""Runtimes by name, and what a missing one says."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from wasmind.catalog.runtimes import PACKAGES, READERS
from wasmind.errors import InvalidEncoding
from wasmind.nn.tensor import TensorType
from wasmind.worker.runtimes.base import DTYPES, RUNTIMES, framework


def test_every_element_type_has_an_array_type_of_its_size() -> None:
    assert {kind: dtype.itemsize for kind, dtype in DTYPES.items()} == {
        kind: kind.size for kind in TensorType
    }


def test_a_framework_tells_its_name() -> None:
    assert framework("onnx", "onnx").name.startswith("onnxruntime 1.")


def test_one_that_does_not_read_the_encoding_names_one_that_does() -> None:
    with pytest.raises(InvalidEncoding, match="'tflite' does not read the encoding 'onnx'") as caught:
        framework("tflite", "onnx")
    assert caught.value.remedy == "set runtime = 'onnx'"


def test_an_encoding_that_none_reads_says_what_else_would_do() -> None:
    with pytest.raises(InvalidEncoding) as caught:
        framework("onnx", "caffe")
    assert "convert" in (caught.value.remedy or "")


def test_one_that_is_not_installed_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, RUNTIMES["onnx"].module, raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InvalidEncoding, match="not installed") as caught:
        framework("onnx", "onnx")
    assert caught.value.remedy == "pip install 'wasmind[onnx]'"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_each_is_installed_by_an_extra_of_its_own(runtime: str) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    offer = RUNTIMES[runtime]
    (requirement,) = project["optional-dependencies"][offer.extra]
    assert requirement.startswith(PACKAGES[runtime].distribution)
    assert all(runtime in READERS[encoding] for encoding in offer.encodings)
