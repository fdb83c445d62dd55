"""A node with a GPU: guests name models on it, bring models for it, and are told where there is none."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from support import onnx_models, swiftshader, tflite_models
from support.commands import wasmind
from support.frameworks import needs
from support.guests import build
from support.nodes import NodeProcess, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [swiftshader.needed, needs("tflite", "onnx")]

NODE = """
[node]
workers = 1
ports = { functions = 0, api = 0 }

[models.gpu]
path = "linear.tflite"
target = "gpu"

[models.either]
path = "linear.onnx"
target = "gpu"
fallback = "cpu"

[functions.ask]
module = "ask.wasm"
route = "/ask/*"
models = ["gpu", "either"]

[functions.bring]
module = "bring.wasm"
route = "/bring/*"
allow_load = true
"""
ANSWER = "3 5 7 9"
ONNX, TFLITE, CPU, GPU, TPU = 1, 4, 0, 1, 2


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    directory = tmp_path_factory.mktemp("devices")
    (directory / "linear.tflite").write_bytes(tflite_models.linear())
    (directory / "linear.onnx").write_bytes(onnx_models.linear())
    (directory / "bring.wasm").write_bytes(build("bring.c"))
    with running(directory, NODE + swiftshader.toml() + "allow_load = true\n") as made:
        yield made


def brought(node: NodeProcess, encoding: int, target: int, model: bytes) -> str:
    body = struct.pack("<I", len(model)) + model
    return node.get(f"/bring/{encoding}/{target}", method="POST", body=body).text.strip()


def test_a_guest_names_a_model_that_runs_on_it(node: NodeProcess) -> None:
    assert node.get("/ask/gpu").text.strip() == ANSWER
    assert (node.model("gpu").runtime or "").endswith(" on WebGPU")


def test_a_model_that_fell_back_says_so(node: NodeProcess) -> None:
    """onnxruntime's own package has no provider for it."""
    assert node.get("/ask/either").text.strip() == ANSWER
    assert "on the CPU: there is no GPU for onnxruntime" in node.log
    assert " on " not in (node.model("either").runtime or "")


def test_a_guest_brings_a_model_for_it(node: NodeProcess) -> None:
    """unsupported_operation is 6 in the core ABI."""
    model = tflite_models.linear()
    assert [brought(node, TFLITE, target, model) for target in (CPU, GPU)] == [ANSWER, ANSWER]
    assert brought(node, TFLITE, TPU, model).startswith("load: 6")
    assert "unless [devices.tpu] is configured" in node.log
    assert brought(node, ONNX, GPU, onnx_models.linear()).startswith("load: 6")


def test_the_commands_know_it(node: NodeProcess, tmp_path: Path) -> None:
    found = {check["name"]: check for check in wasmind("doctor", "--json", cwd=node.directory).json}
    assert found["device gpu"]["verdict"] == "ok"
    assert found["device gpu"]["found"].endswith("there; for gpu, either")
    ended = wasmind("models", "test", "gpu", "--count", "2", cwd=node.directory)
    assert " on WebGPU" in ended.out
    ended = wasmind("models", "test", "either", "--count", "2", cwd=node.directory)
    assert "note: on the CPU: there is no GPU for onnxruntime" in ended.out


def test_without_configuration_it_is_refused_and_the_remedy_named(tmp_path: Path) -> None:
    (tmp_path / "linear.tflite").write_bytes(tflite_models.linear())
    (tmp_path / "wasmind.toml").write_text('[models.gpu]\npath = "linear.tflite"\ntarget = "gpu"\n')
    ended = wasmind("models", "test", "gpu", cwd=tmp_path)
    assert ended.code != 0
    assert "there is no GPU for ai-edge-litert" in ended.err
    assert "say in [devices.gpu] of wasmind.toml which files it needs" in ended.err


def test_a_guest_does_not_bring_a_model_for_it_unless_that_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "linear.tflite").write_bytes(tflite_models.linear())
    (tmp_path / "linear.onnx").write_bytes(onnx_models.linear())
    (tmp_path / "bring.wasm").write_bytes(build("bring.c"))
    with running(tmp_path, NODE + swiftshader.toml()) as node:
        assert node.get("/ask/gpu").text.strip() == ANSWER
        assert brought(node, TFLITE, GPU, tflite_models.linear()).startswith("load: 6")
        assert "with allow_load = true" in node.log
