"""Whole nodes whose models have versions, and whose memory is not for all of them at once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from support.commands import wasmind
from support.nodes import CONFIG, alive, children, running
from support.onnx_models import FLOAT, constant, linear, model, node
from wasmind.errors import ModelLoadFailed, ModelNotFound
from wasmind.node.client import ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.nodes import NodeProcess

VERSIONED = CONFIG.replace(
    """[models.linear]
path = "linear.onnx"
description = "y = 2x + 1"
""",
    """[models.linear]
description = "y = kx"
aliases = { stable = 1 }
default = "stable"

[models.linear.versions.1]
path = "1.onnx"

[models.linear.versions.2]
path = "2.onnx"
""",
)
PINNED = (
    VERSIONED
    + """
[functions.pinned]
module = "ask.wasm"
route = "/pinned/*"
models = ["linear@2"]
limits = { cpu_ms = 1000 }
"""
)
NOT_FOUND = "load: 8\n"


def times(factor: float) -> bytes:
    """y = x * factor for f32 [1,4]."""
    return model(
        [node("Mul", ["x", "factor"], ["y"])],
        [("x", FLOAT, [1, 4])],
        [("y", FLOAT, [1, 4])],
        [constant("factor", FLOAT, [1], [factor])],
    )


@pytest.fixture(scope="module")
def versioned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    directory = tmp_path_factory.mktemp("versions")
    for factor in (1, 2, 3):
        (directory / f"{factor}.onnx").write_bytes(times(factor))
    with running(directory, PINNED) as started:
        yield started


def answer(of: NodeProcess, name: str, function: str = "ask") -> str:
    return of.get(f"/{function}/{name}").text


def test_names_mean_versions_by_the_operators_policy(versioned: NodeProcess) -> None:
    one, two = "1 2 3 4 \n", "2 4 6 8 \n"
    assert [answer(versioned, name) for name in ("linear", "linear@1", "linear:stable")] == [one] * 3
    assert answer(versioned, "linear@2") == two
    for name in ("linear@3", "linear:other", "linear@", "linear@01", "linear:1", "linear@stable", "@1"):
        assert answer(versioned, name) == NOT_FOUND


def test_a_pinned_grant_is_that_version_and_no_other(versioned: NodeProcess) -> None:
    two = "2 4 6 8 \n"
    assert [answer(versioned, name, "pinned") for name in ("linear", "linear@2")] == [two] * 2
    for name in ("linear@1", "linear:stable"):
        assert answer(versioned, name, "pinned") == NOT_FOUND


@pytest.mark.slow
def test_commands_and_the_api_know_versions(versioned: NodeProcess) -> None:
    shown = versioned.api("/api/v1/models/linear").json()
    assert (shown["version"], shown["names"]) == (1, ["linear", "linear@1", "linear:stable"])
    assert versioned.api("/api/v1/models/linear@2").json()["version"] == 2
    assert versioned.api("/api/v1/models/linear:stable").json()["version"] == 1
    assert versioned.api("/api/v1/models/linear@3").status == 404
    listed = wasmind("models", "ls", cwd=versioned.directory)
    assert "linear@1" in listed.out
    assert "linear@2" in listed.out
    tried = wasmind("models", "test", "linear@2", "--json", cwd=versioned.directory)
    assert tried.code == 0, tried.err
    assert "known: linear, linear:stable, linear@1, linear@2" in (
        wasmind("models", "show", "linear@9", cwd=versioned.directory).err
    )


def test_switching_and_rolling_back_is_a_reload(versioned: NodeProcess) -> None:
    before = {m.version: m.pid for m in versioned.status().models}
    versioned.reconfigure("stable = 1", "stable = 2")
    versioned.reload()
    assert answer(versioned, "linear") == answer(versioned, "linear:stable") == "2 4 6 8 \n"
    versioned.reconfigure("stable = 2", "stable = 1")
    versioned.reload()
    assert answer(versioned, "linear") == "1 2 3 4 \n"
    assert {m.version: m.pid for m in versioned.status().models} == before, "both stayed warm"


def test_a_version_that_cannot_be_loaded_changes_nothing(versioned: NodeProcess) -> None:
    (versioned.directory / "broken.onnx").write_bytes(linear()[:-40])
    versioned.reconfigure('path = "1.onnx"', 'path = "broken.onnx"')
    try:
        with pytest.raises(ModelLoadFailed):
            versioned.reload()
    finally:
        versioned.reconfigure('path = "broken.onnx"', 'path = "1.onnx"')
    assert answer(versioned, "linear") == "1 2 3 4 \n"
    versioned.reload()


@pytest.mark.slow
def test_a_model_is_unloaded_and_loaded_by_its_operator(versioned: NodeProcess) -> None:
    (pid,) = (m.pid for m in versioned.status().models if m.version == 2)
    said = wasmind("models", "unload", "linear@2", cwd=versioned.directory)
    assert "linear@2 is unloaded" in said.out
    assert not alive(pid or 0)
    assert answer(versioned, "linear@2") == "load: 5\n"
    assert answer(versioned, "linear@1") == "1 2 3 4 \n"
    assert versioned.api("/readyz").status == 200, "it is as its operator wants it"
    said = wasmind("models", "load", "linear@2", "--json", cwd=versioned.directory)
    assert '"ready"' in said.out
    assert answer(versioned, "linear@2") == "2 4 6 8 \n"
    with pytest.raises(ModelNotFound):
        ask(versioned.state, "load", model="linear@9")


@pytest.mark.slow
def test_models_share_memory_that_is_too_small_for_all(tmp_path: Path) -> None:
    models = range(4)
    config = CONFIG.replace(
        "[models.linear]", "[models.pinned]\npin = true\npath = '9.onnx'\n[models.linear]"
    )
    config = config.replace("workers = 1", 'workers = 2\nmodel_memory = "240MB"')
    for factor in models:
        (tmp_path / f"{factor}.onnx").write_bytes(times(factor))
        config += f"\n[models.m{factor}]\npath = '{factor}.onnx'\n"
    (tmp_path / "9.onnx").write_bytes(times(9))
    granted = ", ".join(f'"m{factor}"' for factor in models)
    config = config.replace('models = ["linear"]', f'models = ["linear", "pinned", {granted}]')
    with running(tmp_path, config) as few:
        states = {m.name: m.state for m in few.status().models}
        assert states.pop("pinned") == "ready"
        assert set(states.values()) == {"unloaded"}
        assert few.api("/readyz").status == 200
        wanted = [few.get("/ask/m1").text for _ in range(2)]
        answers: list[str] = []
        threads = [threading.Thread(target=lambda: answers.append(few.get("/ask/m2").text)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(wanted) == {"1 2 3 4 \n"}
        assert set(answers) == {"2 4 6 8 \n"}
        for _ in range(2):
            for factor in models:
                expected = " ".join(str(x * factor) for x in (1, 2, 3, 4)) + " \n"
                assert few.get(f"/ask/m{factor}").text == expected
        assert few.get("/ask/pinned").text == "9 18 27 36 \n"
        assert len(children(few.process.pid, "wasmind.worker")) < 6
        assert few.model("pinned").restarts == 0
        figures = few.api("/metrics").text
        assert "wasmind_model_evictions_total" in figures
        assert 'wasmind_model_cache_misses_total{model="m2",scope="shared"}' in figures
