"""Where programs and helpers are found."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from wasmind.projects import places
from wasmind.projects.template import SOURCES


@pytest.mark.parametrize("language", SOURCES)
def test_every_language_has_helpers_and_templates(language: str) -> None:
    assert any(places.guests(language).iterdir())
    assert any((places.TEMPLATES / language).iterdir())


def test_the_interfaces_are_there_with_their_sources_named() -> None:
    assert "wasi:nn@" in (places.WIT / "deps" / "nn.wit").read_text()
    assert "Apache-2.0" in (places.WIT / "README.md").read_text()


def test_programs_of_directories_win_over_the_environments_and_those_over_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(directory: Path, name: str) -> Path:
        directory.mkdir(exist_ok=True)
        path = directory / name
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
        return path

    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert places.program("wasmind-tool") is None
    on_path = put(tmp_path / "path", "wasmind-tool")
    assert places.program("wasmind-tool") == on_path
    own = put(tmp_path / "own", "wasmind-tool")
    assert places.program("wasmind-tool", tmp_path / "own") == own
    put(tmp_path / "path", "pytest")
    found = places.program("pytest")
    assert found is not None
    assert found.parent == Path(sys.executable).parent
