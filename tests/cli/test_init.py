"""`wasmind init`: a project, for the built-in model or one of the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import onnx_models
from support.commands import wasmind


def test_it_writes_a_project_and_says_what_is_next(tmp_path: Path) -> None:
    done = wasmind("init", "double", "--lang", "c", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "double/main.c" in done.err
    assert done.out.splitlines()[-3:] == ["  cd double", "  pip install ziglang==0.17.1", "  wasmind dev"]
    assert (tmp_path / "double" / "wasmind.toml").is_file()
    again = wasmind("init", "double", "--json", cwd=tmp_path)
    assert again.code == 3
    assert again.json["error"]["code"] == "build-failed"


def test_python_is_the_default(tmp_path: Path) -> None:
    done = wasmind("init", "double", "--json", cwd=tmp_path).json
    assert done["language"] == "python"
    assert "double/app.py" in done["files"]
    assert wasmind("init", "other", "--lang", "cobol", cwd=tmp_path).code == 2


@pytest.mark.slow
def test_a_model_of_ones_own_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "My Net.onnx").write_bytes(onnx_models.linear())
    done = wasmind("init", "own", "--lang", "c", "--model", "My Net.onnx", cwd=tmp_path)
    assert done.code == 0, done.err
    text = (tmp_path / "own" / "main.c").read_text()
    assert "{1, 4}" in text
    assert '"my-net"' in text
    assert "../My Net.onnx" in (tmp_path / "own" / "wasmind.toml").read_text()


@pytest.mark.slow
def test_a_model_that_no_template_is_for(tmp_path: Path) -> None:
    two = onnx_models.model(
        [onnx_models.node("Add", ["a", "b"], ["y"])],
        [("a", onnx_models.FLOAT, [1]), ("b", onnx_models.FLOAT, [1])],
        [("y", onnx_models.FLOAT, [1])],
    )
    (tmp_path / "two.onnx").write_bytes(two)
    done = wasmind("init", "own", "--model", "two.onnx", cwd=tmp_path)
    assert done.code == 3
    assert "a, b" in done.err
    assert wasmind("init", "own", "--model", "gone.onnx", cwd=tmp_path).code != 0
    assert not (tmp_path / "own").exists()


@pytest.mark.parametrize("name", ["Big", "a_b"])
def test_names(name: str, tmp_path: Path) -> None:
    done = wasmind("init", name, cwd=tmp_path)
    assert done.code == 3
    assert "no name for a function" in done.err
