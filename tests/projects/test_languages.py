"""Projects as `init` writes them, built by the real toolchains and answering through a real node."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.commands import wasmind
from support.guests import ROOT
from support.languages import LANGUAGES, built, use
from support.nodes import NodeProcess

pytestmark = pytest.mark.slow
EXAMPLES = ROOT / "examples"
COMPILED_S = 180


@contextmanager
def served(project: Path) -> Iterator[NodeProcess]:
    node = NodeProcess(project, "--port", "0", "--api-port", "0", "--workers", "1")
    try:
        node.until(lambda: node.status().phase == "ready", COMPILED_S)
        yield node
    finally:
        node.stop()


@pytest.mark.parametrize("language", LANGUAGES)
def test_init_build_serve(language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(language, monkeypatch)
    begun = wasmind("init", "double", "--lang", language, cwd=tmp_path)
    assert begun.code == 0, begun.err
    project = tmp_path / "double"
    built = wasmind("build", "--json", cwd=project, seconds=600)
    assert built.code == 0, built.err + built.out
    assert built.json[0]["language"] == language
    with served(project) as node:
        answer = node.get("/", method="POST", body=b"[20, 0.5]")
        assert (answer.status, answer.json()) == (200, [41, 2])
        assert answer.headers["content-type"] == "application/json"
        assert node.get("/", method="POST", body=b"").status >= 400, "no numbers fit no shape"


@pytest.mark.parametrize(("language", "source"), [("python", "app.py"), ("javascript", "app.js")])
def test_examples(language: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(language, monkeypatch)
    project = tmp_path / language
    shutil.copytree(
        EXAMPLES / language, project, ignore=shutil.ignore_patterns("build", "node_modules", ".*")
    )
    shutil.copytree(EXAMPLES / "double", tmp_path / "double")
    built(project / source, project / "double.wasm", models=True)
    config = (project / "wasmind.toml").read_text()
    (project / "wasmind.toml").write_text(config.replace("build/double.wasm", "double.wasm"))
    with served(project) as node:
        assert node.get("/").text == "POST a JSON list of numbers\n"
        assert node.get("/", method="POST", body=b"[20, 0.5]").json() == [41, 2]
        assert node.get("/", method="POST", body=b"20").json() == [41]
        assert node.get("/", method="POST", body=b"{").status == 400
