"""New projects: complete, readable by the platform, and fitted to a model."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from pathlib import Path

import pytest

from wasmind import config
from wasmind.errors import BuildFailed
from wasmind.projects.template import COMPILED, SOURCES, Model, Port, write

IMAGE = Model("net", "../net.onnx", Port("image:0", "u8", (-1, 2, 2, 3)), Port("scores", "f32", (-1, 10)))


@pytest.mark.parametrize("language", SOURCES)
def test_a_project_is_complete(language: str, tmp_path: Path) -> None:
    files = write(tmp_path / "p", "double", language)
    assert {path for path in (tmp_path / "p").rglob("*") if path.is_file()} == set(files)
    assert {".gitignore", "README.md", "wasmind.toml", "linear.onnx"} <= {path.name for path in files}
    assert not [path for path in files if path.suffix != ".onnx" and "%%" in path.read_text()]
    settings = config.load(tmp_path / "p" / "wasmind.toml")
    function = settings.functions["double"]
    assert function.source == tmp_path / "p" / SOURCES[language]
    assert function.source.is_file()
    assert function.models == ["linear"]
    path = settings.models["linear"].path
    assert path is not None
    assert path.is_file()


@pytest.mark.parametrize("language", SOURCES)
def test_a_project_for_a_model_of_ones_own(language: str, tmp_path: Path) -> None:
    files = write(tmp_path / "p", "see", language, IMAGE)
    source = (tmp_path / "p" / SOURCES[language]).read_text()
    assert "net" in source
    assert not [path for path in files if path.name == "linear.onnx"]
    assert config.load(tmp_path / "p" / "wasmind.toml").models["net"].path == tmp_path / "p" / "../net.onnx"
    if language in ("c", "rust", "assemblyscript"):
        assert "count / 12, 2, 2, 3" in source
    else:
        assert "[-1, 2, 2, 3]" in source
        assert "image:0" in source


def test_the_languages_own_files(tmp_path: Path) -> None:
    for language in SOURCES:
        write(tmp_path / language, "double", language)
    ast.parse((tmp_path / "python" / "app.py").read_text())
    package = json.loads((tmp_path / "javascript" / "package.json").read_text())
    assert package["name"] == "double"
    assert "@bytecodealliance/componentize-js" in package["devDependencies"]
    assert (
        "assemblyscript"
        in json.loads((tmp_path / "assemblyscript/package.json").read_text())["devDependencies"]
    )
    assert tomllib.loads((tmp_path / "rust" / "Cargo.toml").read_text())["package"]["name"] == "double"
    assert (tmp_path / "rust" / "src" / "wasi_nn.rs").read_text().startswith("//! wasi-nn for Rust")


def test_several_open_dimensions(tmp_path: Path) -> None:
    open_ = Model("m", "m.onnx", Port("x", "f32", (-1, 3, -1)), Port("y", "i64", ()))
    write(tmp_path / "p", "f", "python", open_)
    assert "[-1, 3, 1]" in (tmp_path / "p" / "app.py").read_text()
    write(tmp_path / "c", "f", "c", open_)
    text = (tmp_path / "c" / "main.c").read_text()
    assert "{count / 3, 3, 1}" in text
    assert "static int64_t answers[1]" in text


@pytest.mark.parametrize("kind", ["f16", "bf16", "bool"])
def test_types_that_a_language_has_no_numbers_for(kind: str, tmp_path: Path) -> None:
    assert kind not in COMPILED
    model = Model("m", "m.onnx", Port("x", kind, (1,)), Port("y", "f32", (1,)))
    with pytest.raises(BuildFailed, match="cannot be written for the model m") as caught:
        write(tmp_path / "p", "f", "c", model)
    assert kind in caught.value.explain()
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("name", ["", "Double", "a b", "-a", "a/../b", "a" * 64, 'a"b', "é"])
def test_names_that_are_none(name: str, tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="is no name"):
        write(tmp_path / "p", name, "python")


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    write(tmp_path / "p", "f", "c")  # an empty directory may be filled
    with pytest.raises(BuildFailed, match="there already"):
        write(tmp_path / "p", "f", "c")
    (tmp_path / "file").write_text("")
    with pytest.raises(BuildFailed, match="there already"):
        write(tmp_path / "file", "f", "c")
    with pytest.raises(BuildFailed, match="cannot be written"):
        write(tmp_path / "file" / "p", "f", "c")


@pytest.mark.parametrize("language", SOURCES)
def test_the_readme_tells_the_commands(language: str, tmp_path: Path) -> None:
    write(tmp_path / "p", "double", language)
    text = (tmp_path / "p" / "README.md").read_text()
    assert re.search(r"```\n.*install.*\nwasmind dev\ncurl -d '\[20\]' ", text) or language == "rust"
    assert SOURCES[language] in text
