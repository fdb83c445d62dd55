"""`models`, `functions`, `compile`: what a configuration holds, looked at without a node."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.commands import wasmind
from support.nodes import CONFIG, prepare
from support.onnx_models import linear


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration with a model that is broken beside the one that is not."""
    directory = prepare(tmp_path_factory.mktemp("models"))
    (directory / "broken.onnx").write_bytes(linear()[:-40])
    (directory / "wasmind.toml").write_text(
        CONFIG
        + """
[models.broken]
path = "broken.onnx"
"""
    )
    return directory


@pytest.mark.slow
def test_models_are_listed(models: Path) -> None:
    ended = wasmind("models", "ls", "--json", cwd=models)
    assert [row["name"] for row in ended.json] == ["linear", "broken"]
    assert {row["state"] for row in ended.json} == {"not running"}
    shown = wasmind("models", "ls", cwd=models)
    assert "y = 2x + 1" in shown.out
    assert "linear.onnx" in shown.out


def test_a_model_that_never_ran_is_loaded_once_to_show_it(models: Path) -> None:
    first = wasmind("models", "show", "linear", "--json", cwd=models)
    assert first.json["inputs"] == [{"name": "x", "tensor": "f32 [1,4]", "meaning": "", "converted": []}]
    assert first.json["encoding"] == "onnx"
    assert first.json["files"] == [str(models / "linear.onnx")]
    (kept,) = (models / ".wasmind" / "signatures").iterdir()
    before = kept.stat().st_mtime_ns
    shown = wasmind("models", "show", "linear", cwd=models)
    assert "input  0 x: f32 [1,4]" in shown.out
    assert "output 0 y: f32 [1,4]" in shown.out
    assert kept.stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_model_is_tried_on_random_input(models: Path) -> None:
    found = wasmind("models", "test", "linear", "--count", "3", "--json", cwd=models).json
    given, got = (
        [float(number) for number in tensor["summary"].split()]
        for tensor in found["inputs"] + found["outputs"]
    )
    assert got == pytest.approx([2 * number + 1 for number in given], rel=1e-4)
    assert 0 < found["latency_ms"]["best"] <= found["latency_ms"]["p50"] <= found["latency_ms"]["worst"]


@pytest.mark.slow
def test_what_is_wrong_with_a_model_is_told(models: Path) -> None:
    both = wasmind("models", "test", "linear", "--text", "x", "--image", "y", cwd=models)
    assert "give one of --npz, --image and --text" in both.err
    assert wasmind("models", "test", "broken", cwd=models).code == 4
    unknown = wasmind("models", "show", "unknown", cwd=models)
    assert unknown.code == 1
    assert "known: broken, linear" in unknown.err


def test_functions_are_listed(models: Path) -> None:
    listed = wasmind("functions", "ls", "--json", cwd=models).json
    assert listed["ask"]["models"] == ["linear"]
    assert listed["ask"]["program"] == "module"
    assert listed["http"]["limits"]["cpu_ms"] == 1000
    assert listed["http"]["limits"]["memory"] == 128 << 20
    shown = wasmind("functions", "ls", cwd=models)
    assert "/ask/*" in shown.out
    assert "128.0 MiB" in shown.out


def test_programs_are_compiled_once(models: Path) -> None:
    first = wasmind("compile", "--json", cwd=models).json
    assert [row["name"] for row in first] == ["http", "ask"]
    assert "wasi_ephemeral_nn.compute" in first[1]["imports"]
    artifacts = [Path(row["artifact"]) for row in first]
    assert all(path.is_relative_to(models / ".wasmind" / "cache") for path in artifacts)
    before = [path.stat().st_mtime_ns for path in artifacts]
    shown = wasmind("compile", "http.wasm", cwd=models)
    assert "http.wasm" in shown.out
    assert [path.stat().st_mtime_ns for path in artifacts] == before


def test_a_program_that_is_refused_ends_with_3(models: Path) -> None:
    ended = wasmind("compile", "linear.onnx", "--json", cwd=models)
    assert ended.code == 3
    assert ended.json["error"]["code"] == "program-not-wasm"
