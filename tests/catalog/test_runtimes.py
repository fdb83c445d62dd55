"""Which runtime serves an encoding, by what is installed."""

from __future__ import annotations

import sys
from typing import get_args

import pytest

from wasmind.catalog import runtimes
from wasmind.config import Encoding, Runtime
from wasmind.errors import InvalidEncoding


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Which frameworks are installed; a test may change it."""
    found = {"onnx", "openvino", "tflite", "pytorch", "tensorflow", "ggml"}
    monkeypatch.setattr(runtimes, "installed", lambda runtime: runtime in found)
    return found


def test_every_encoding_has_a_runtime() -> None:
    assert set(runtimes.READERS) == set(get_args(Encoding)) - {"autodetect"}
    assert {runtime for readers in runtimes.READERS.values() for runtime in readers} == set(get_args(Runtime))
    assert set(runtimes.PACKAGES) == set(get_args(Runtime))


@pytest.mark.parametrize(
    ("encoding", "missing", "expected"),
    [
        ("onnx", set(), "onnx"),
        ("onnx", {"onnx"}, "openvino"),
        ("onnx", {"onnx", "openvino"}, "onnx"),
        ("openvino", {"openvino"}, "openvino"),
        ("tensorflow", set(), "openvino"),
        ("tensorflow", {"openvino"}, "tensorflow"),
        ("tensorflow", {"openvino", "tensorflow"}, "openvino"),
        ("tensorflowlite", set(), "tflite"),
        ("tensorflowlite", {"tflite"}, "openvino"),
        ("pytorch", {"pytorch"}, "pytorch"),
    ],
)
def test_the_first_installed_is_the_default(
    there: set[str], encoding: Encoding, missing: set[str], expected: Runtime
) -> None:
    there -= missing
    assert runtimes.runtime_for(encoding) == expected


def test_the_operators_choice_holds_whatever_is_installed(there: set[str]) -> None:
    there.clear()
    assert runtimes.runtime_for("onnx", "openvino") == "openvino"


def test_a_runtime_that_does_not_read_the_encoding() -> None:
    with pytest.raises(InvalidEncoding, match="the runtime tflite does not read onnx") as caught:
        runtimes.runtime_for("onnx", "tflite")
    assert "onnx or openvino" in caught.value.explain()


def test_looking_does_not_import() -> None:
    before = set(sys.modules)
    for runtime in runtimes.PACKAGES:
        runtimes.installed_version(runtime)
    roots = {package.module for package in runtimes.PACKAGES.values()}
    assert not {name for name in set(sys.modules) - before if name.partition(".")[0] in roots}


def test_versions_are_those_of_the_packages() -> None:
    import onnxruntime

    assert runtimes.installed("onnx")
    assert runtimes.installed_version("onnx") == onnxruntime.__version__


def test_what_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(runtimes.PACKAGES, "onnx", runtimes.Package("no_such_module", "no-such-package"))
    assert runtimes.installed_version("onnx") is None
    # The module is there, under a package of another name.
    monkeypatch.setitem(runtimes.PACKAGES, "onnx", runtimes.Package("onnxruntime", "no-such-package"))
    assert "another name" in (runtimes.installed_version("onnx") or "")
