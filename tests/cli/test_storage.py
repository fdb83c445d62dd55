"""`models push` and `models pull`, and a node whose models are kept elsewhere."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from support import storage
from support.commands import wasmind
from support.nodes import CONFIG, NodeProcess, prepare
from support.onnx_models import linear

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

DIGEST = f"sha256:{hashlib.sha256(linear()).hexdigest()}"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with storage.object_store(tmp_path_factory.mktemp("weed")) as found:
        yield found


@pytest.fixture
def site(tmp_path: Path, endpoint: str) -> Path:
    """A node's directory, with the settings of an object store and no model."""
    directory = prepare(tmp_path)
    (directory / "net.onnx").write_bytes((directory / "linear.onnx").read_bytes())
    (directory / "linear.onnx").unlink()
    (directory / "secrets.toml").write_text("".join(f'{k} = "{v}"\n' for k, v in storage.SECRETS.items()))
    text = CONFIG.replace('path = "linear.onnx"', f'source = "s3://models/linear.onnx"\ndigest = "{DIGEST}"')
    text += f'[storage."s3://models"]\noptions = {{ endpoint = "{endpoint}" }}\n'
    text += 'secrets = "secrets.toml"\ninsecure = true\n'
    (directory / "wasmind.toml").write_text(text)
    return directory


def test_a_model_is_pushed_pulled_shown_and_served(site: Path) -> None:
    ended = wasmind("models", "push", "net.onnx", "s3://models/linear.onnx", "--json", cwd=site)
    assert ended.json["digest"] == DIGEST
    assert ended.json["files"] == ["net.onnx"]
    assert wasmind("models", "ls", "--json", cwd=site).json[0]["path"] == "s3://models/linear.onnx"
    node = NodeProcess(site)
    try:
        node.await_ready()
        assert node.model().state == "ready"
        assert "model fetched and verified" in node.log
        assert node.stop() == 0
    finally:
        node.process.kill()
    found = wasmind("models", "pull", "linear", "--json", cwd=site).json
    assert found["digest"] == DIGEST
    assert found["path"].startswith(str(site / ".wasmind" / "store" / "artifacts"))
    shown = wasmind("models", "show", "linear", "--json", cwd=site).json
    assert shown["files"] == [found["path"]]


def test_pull_tells_the_digest_of_what_nobody_pinned(site: Path) -> None:
    wasmind("models", "push", "net.onnx", "s3://models/unpinned.onnx", cwd=site)
    found = wasmind("models", "pull", "s3://models/unpinned.onnx", cwd=site)
    assert f'digest = "{DIGEST}"' in found.out


def test_what_cannot_be_pushed_or_pulled_is_explained(site: Path) -> None:
    ended = wasmind("models", "push", "gone.onnx", "s3://models/x.onnx", cwd=site)
    assert ended.code == 1
    assert "neither a model of the configuration nor a file" in ended.err
    ended = wasmind("models", "push", "linear", "s3://models/x.onnx", cwd=site)
    assert ended.code == 2
    assert "push needs a `path`" in ended.err
    ended = wasmind("models", "pull", "ftp://there/x.onnx", cwd=site)
    assert ended.code == 4
    assert "names no place that is known" in ended.err


def test_a_model_that_never_came_refuses_the_start(site: Path) -> None:
    text = (site / "wasmind.toml").read_text().replace("linear.onnx", "never-pushed.onnx")
    (site / "wasmind.toml").write_text(text)
    node = NodeProcess(site)
    assert node.process.wait(60) != 0
    assert "models.linear" in node.log
    assert "never-pushed.onnx" in node.log
