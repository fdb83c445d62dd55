"""The demo's function in other languages: built once, and left out with a reason where that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from wasmind.demo import languages
from wasmind.demo.screen import Steps
from wasmind.projects import places


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("espresso\n")
    return path


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without toolchains."""
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    monkeypatch.setattr(places.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(places.sys, "prefix", str(tmp_path))


@pytest.mark.usefixtures("bare")
def test_without_toolchains_the_demo_goes_on_and_says_why(
    tmp_path: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert languages.variants(tmp_path, labels, None, Steps()) == []
    said = capsys.readouterr().err
    assert "Python is left out: componentize-py is not installed" in said
    assert "JavaScript is left out: Node.js is not installed" in said


def test_only_what_is_wanted(tmp_path: Path, labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert languages.variants(tmp_path, labels, ("c",), Steps()) == []
    assert capsys.readouterr().err == ""


def test_a_large_toolchain_is_fetched_only_when_asked_for(
    tmp_path: Path, labels: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    node = tmp_path / "bin" / "node"
    node.parent.mkdir()
    node.write_text("#!/bin/sh\nexit 3\n")
    node.chmod(0o755)
    npm = node.with_name("npm")
    npm.write_text('#!/bin/sh\necho "npm $@" >&2\nexit 1\n')
    npm.chmod(0o755)
    monkeypatch.setattr(places.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(places.sys, "prefix", str(tmp_path))
    monkeypatch.setattr(languages, "SOURCES", {"javascript": "classify.js"})
    assert languages.variants(tmp_path, labels, None, Steps()) == []
    said = capsys.readouterr().err
    assert "--lang javascript fetches it from npm (400 MB)" in said
    assert languages.variants(tmp_path, labels, ("javascript",), Steps()) == []
    assert "npm could not install it. Cause: npm install" in capsys.readouterr().err


@pytest.mark.usefixtures("bare")
def test_what_was_built_is_kept_until_something_changes(tmp_path: Path, labels: Path) -> None:
    directory = tmp_path / "functions"
    directory.mkdir()
    module = directory / "classify-python.wasm"
    module.write_bytes(b"kept")
    module.with_suffix(".sha256").write_text(languages._recipe("python", labels))
    kept = languages.variants(tmp_path, labels, ("python",), Steps())
    assert kept == [languages.Variant("python", module)]
    assert kept[0].name == "classify-python"
    labels.write_text("lungo\n")
    assert languages.variants(tmp_path, labels, ("python",), Steps()) == []


def test_a_directory_that_cannot_be_written(
    tmp_path: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "functions").write_text("a file")
    assert languages.variants(tmp_path, labels, ("python",), Steps()) == []
    assert "Python is left out" in capsys.readouterr().err
