"""`serve`, `status`, `reload`, `stop`: the commands of an operator, on a real node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.commands import wasmind
from support.nodes import CONFIG, prepare, running

if TYPE_CHECKING:
    from pathlib import Path

    from support.nodes import NodeProcess


def test_the_status_is_shown(node: NodeProcess) -> None:
    shown = wasmind("status", cwd=node.directory)
    assert shown.code == 0
    assert f"process {node.process.pid}, ready" in shown.out
    assert "serving" in shown.out
    assert "linear" in shown.out
    assert "/http/*" in shown.out
    assert wasmind("status", "--json", cwd=node.directory).json["pid"] == node.process.pid


@pytest.mark.slow
def test_models_are_listed_with_their_state(node: NodeProcess) -> None:
    rows = wasmind("models", "ls", "--json", cwd=node.directory).json
    assert rows[0]["state"] == "ready"
    assert rows[0]["runtime"].startswith("onnxruntime")


def test_a_reload_is_done_or_refused_with_the_reason(node: NodeProcess) -> None:
    generation = node.status().generation
    done = wasmind("reload", cwd=node.directory)
    assert (done.code, done.out) == (0, f"generation {generation + 1} serves 2 functions\n")
    node.reconfigure('path = "linear.onnx"', 'path = "gone.onnx"')
    refused = wasmind("reload", cwd=node.directory)
    assert refused.code == 4
    assert "gone.onnx" in refused.err
    assert "the last reload was refused" in wasmind("status", cwd=node.directory).out


@pytest.mark.slow
def test_a_node_is_reached_though_its_configuration_is_broken_now(node: NodeProcess) -> None:
    node.configure("[node")
    assert wasmind("status", cwd=node.directory).code == 0
    assert wasmind("reload", cwd=node.directory).code == 2


@pytest.mark.slow
def test_without_a_node_the_commands_say_so(tmp_path: Path) -> None:
    prepare(tmp_path)
    for command in ("status", "reload", "stop"):
        ended = wasmind(command, cwd=tmp_path)
        assert ended.code == 1
        assert "no node runs" in ended.err
        assert "wasmind serve" in ended.err


@pytest.mark.slow
def test_options_of_serve_go_before_the_file_and_stop_waits_for_the_end(tmp_path: Path) -> None:
    config = CONFIG.replace("ports = { functions = 0, api = 0 }", "ports = { functions = 1, api = 1 }")
    with running(tmp_path, config, "--port", "0", "--api-port", "0", "--dev", "--json") as node:
        assert node.status().dev
        assert "no function serves" in node.get("/nothing").json()["detail"]
        assert '"event":"ready"' in node.log
        ended = wasmind("stop", "--json", cwd=tmp_path)
        assert ended.json == {"stopped": node.process.pid}
        assert node.process.wait(5) == 0
