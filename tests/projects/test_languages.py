"""Projects as `init` writes them, built by the real toolchains and answering through a real node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.commands import wasmind
from support.languages import LANGUAGES, use
from support.nodes import NodeProcess

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("language", LANGUAGES)
def test_init_build_serve(language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(language, monkeypatch)
    begun = wasmind("init", "double", "--lang", language, cwd=tmp_path)
    assert begun.code == 0, begun.err
    project = tmp_path / "double"
    built = wasmind("build", "--json", cwd=project, seconds=600)
    assert built.code == 0, built.err + built.out
    assert built.json[0]["language"] == language
    node = NodeProcess(project, "--port", "0", "--api-port", "0", "--workers", "1")
    try:
        node.until(lambda: node.status().phase == "ready", 180)
        answer = node.get("/", method="POST", body=b"[20, 0.5]")
        assert (answer.status, answer.json()) == (200, [41, 2])
        assert answer.headers["content-type"] == "application/json"
        assert node.get("/", method="POST", body=b"").status >= 400, "no numbers fit no shape"
    finally:
        node.stop()
