"""Whole nodes: they come up, survive the death of each of their processes, reload, and stop in order."""

from __future__ import annotations

import http.client
import signal
import threading
import time
from pathlib import Path

import pytest

from support.nodes import (
    CONFIG,
    NodeProcess,
    Response,
    alive,
    await_end,
    children,
    kill,
    prepare,
    processes_of,
    running,
)
from support.onnx_models import linear
from wasmind.errors import ConfigError, ModelLoadFailed, NodeError
from wasmind.node.client import ask
from wasmind.node.state import read_owner

ANSWER = "3 5 7 9 \n"


def test_a_request_reaches_a_model_and_its_answer_comes_back(node: NodeProcess) -> None:
    assert node.get("/http/hello").text == "hello\n"
    assert node.get("/ask/linear").text == ANSWER


def test_a_name_that_is_not_granted_is_not_found(node: NodeProcess) -> None:
    assert node.get("/ask/other").text == "load: 8\n"


def test_the_log_says_what_is_served_where(node: NodeProcess) -> None:
    url = node.status().functions_url
    assert f"{url}/ask/*  function=ask models=linear" in node.log
    assert "model ready  model=linear" in node.log


def test_a_model_brought_as_bytes_is_loaded_once(node: NodeProcess) -> None:
    before = {model.id for model in node.status().models}
    answers: list[Response] = []
    threads = [
        threading.Thread(target=lambda: answers.append(node.get("/ask/x", method="POST", body=linear())))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.text for answer in answers] == [ANSWER] * 8
    added = [model for model in node.status().models if model.id not in before]
    assert len(added) == 1
    assert added[0].scope == "default"


def test_bytes_that_are_no_model_are_refused_again_and_again(node: NodeProcess) -> None:
    broken = linear()[:-40]
    for _ in range(3):
        assert node.get("/ask/x", method="POST", body=broken).text == "load: 5\n"
    assert node.get("/ask/linear").text == ANSWER


def test_a_second_node_on_the_same_state_is_refused(node: NodeProcess) -> None:
    second = NodeProcess(node.directory)
    second.log_path = node.directory / "second.log"
    assert second.process.wait(10) == 1
    assert node.get("/http/hello").text == "hello\n"
    assert f"another node (process {node.process.pid})" in node.log


@pytest.mark.slow
def test_a_taken_port_is_named_with_who_has_it(node: NodeProcess, tmp_path: Path) -> None:
    port = node.status().functions_url.rpartition(":")[2]
    prepare(tmp_path, CONFIG.replace("functions = 0", f"functions = {port}"))
    second = NodeProcess(tmp_path)
    assert second.process.wait(10) == 1
    assert f"port {port} on 127.0.0.1 is taken" in second.log
    assert f"process {node.process.pid}" in second.log
    assert "remedy: stop that process, or set ports.functions in [node] to a free port" in second.log


def test_a_killed_model_comes_back_and_says_how_it_died(node: NodeProcess) -> None:
    before = node.model()
    kill(before.pid)
    node.until(lambda: node.model().restarts > before.restarts)
    assert node.get("/ask/linear").text == ANSWER  # it waits for the new process
    node.until(lambda: node.model().state == "ready")
    assert node.model().pid not in (None, before.pid)
    assert "killed by signal 9 (SIGKILL)" in node.log
    node.until(lambda: node.api("/readyz").status == 200)


def test_a_killed_edge_worker_loses_no_connection_that_waits(node: NodeProcess) -> None:
    (before,) = node.status().edges
    kill(before.pid)
    node.until(lambda: not alive(before.pid or 0))
    assert {node.get("/http/hello").text for _ in range(5)} == {"hello\n"}
    node.until(lambda: not node.status().problems)
    (after,) = node.status().edges
    assert (after.restarts, after.state) == (before.restarts + 1, "serving")


def test_a_killed_control_process_comes_back(node: NodeProcess) -> None:
    assert node.api("/healthz").text == "ok\n"
    (pid,) = children(node.process.pid, "wasmind.control")
    kill(pid)
    node.until(lambda: children(node.process.pid, "wasmind.control") not in ([], [pid]))
    assert node.api("/healthz").text == "ok\n"


def test_a_reload_changes_routes_and_models_and_keeps_processes_that_need_not_change(
    node: NodeProcess,
) -> None:
    pid, edges = node.model().pid, [edge.pid for edge in node.status().edges]
    generation = node.status().generation
    (node.directory / "second.onnx").write_bytes(linear())
    node.reconfigure('route = "/ask/*"', 'route = "/question/*"')
    node.reconfigure('models = ["linear"]', 'models = ["linear", "second"]')
    node.reconfigure("[functions.http]", '[models.second]\npath = "second.onnx"\n\n[functions.http]')
    assert node.reload().generation == generation + 1
    assert node.get("/ask/linear").status == 404
    assert node.get("/question/linear").text == node.get("/question/second").text == ANSWER
    assert node.model().pid == pid
    assert [edge.pid for edge in node.status().edges] == edges
    gone = node.model("second").pid
    assert gone
    node.configure(CONFIG.replace('route = "/ask/*"', 'route = "/question/*"'))
    node.process.send_signal(signal.SIGHUP)
    node.until(lambda: node.status().generation == generation + 2)
    assert node.get("/question/second").text == "load: 8\n"
    node.until(lambda: not alive(gone))
    assert "second" not in {model.name for model in node.status().models}


def test_changed_settings_of_a_model_start_it_anew_before_the_old_one_ends(node: NodeProcess) -> None:
    before = node.model().pid
    node.reconfigure('description = "y = 2x + 1"', "instances = 2")
    node.reload()
    assert node.get("/ask/linear").text == ANSWER
    node.until(lambda: not alive(before or 0))
    assert node.model().pid != before


def test_a_request_under_way_ends_on_the_configuration_it_began_with(node: NodeProcess) -> None:
    with node.open("/http/drip?50") as slow:
        node.reconfigure('route = "/http/*"', 'route = "/other/*"')
        node.reload()
        assert node.get("/http/hello").status == 404
        assert slow.read().decode() == "".join(f"{line}\n" for line in range(50))


def test_a_setting_that_needs_a_restart_is_told(node: NodeProcess) -> None:
    node.reconfigure("workers = 1", "workers = 2")
    node.reload()
    assert len(node.status().edges) == 1
    assert "a changed setting needs a restart  setting=workers" in node.log


@pytest.mark.parametrize(
    ("old", "new", "error", "said"),
    [
        ("[node]", "[node", ConfigError, "is not TOML"),
        ("workers = 1", "wrokers = 1", ConfigError, "wrokers"),
        ('path = "linear.onnx"', 'path = "gone.onnx"', ModelLoadFailed, "gone.onnx"),
        ('path = "linear.onnx"', 'path = "broken.onnx"', ModelLoadFailed, "broken"),
        ("limits = { cpu_ms = 1000 }", 'limits = { stack = "4MiB" }', ConfigError, "restart the node"),
        ('module = "ask.wasm"', 'module = "linear.onnx"', None, "no WebAssembly"),
    ],
)
def test_a_broken_configuration_changes_nothing_and_says_why(
    node: NodeProcess, old: str, new: str, error: type[Exception] | None, said: str
) -> None:
    (node.directory / "broken.onnx").write_bytes(linear()[:-40])
    before = node.status()
    node.reconfigure(old, new)
    try:
        with pytest.raises(error or Exception) as refused:
            ask(node.state, "reload")
    finally:
        node.reconfigure(new, old)
    assert said in refused.value.explain()  # type: ignore[attr-defined]  # every error of the tree explains
    after = node.status()
    assert after.reload_failure is not None
    assert after.generation == before.generation
    assert [model.pid for model in after.models] == [model.pid for model in before.models]
    assert node.get("/ask/linear").text == ANSWER


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_leaves_the_rest_served(tmp_path: Path) -> None:
    prepare(tmp_path)
    (tmp_path / "broken.onnx").write_bytes(linear()[:-40])
    config = CONFIG + '\n[models.broken]\npath = "broken.onnx"\n'
    with running(tmp_path, config) as node:
        assert node.model("broken").state == "failed"
        assert node.get("/ask/linear").text == ANSWER
        ready = node.api("/readyz")
        assert ready.status == 503
        assert "'broken' is failed" in ready.json()["problems"][0]
        (tmp_path / "broken.onnx").write_bytes(linear())
        node.reload()
        node.until(lambda: node.api("/readyz").status == 200)


def test_a_stop_finishes_what_runs_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        processes = processes_of(node.status()) + children(node.process.pid, "wasmind.control")
        assert len(processes) == 4
        owner = read_owner(node.state)
        assert owner
        assert Path(owner.run).is_dir()
        with node.open("/http/drip?40") as slow:
            assert node.stop() == 0
            assert slow.read().endswith(b"39\n")
        assert not [pid for pid in processes if alive(pid)]
        assert not Path(owner.run).exists()
        with pytest.raises(NodeError, match="no node runs"):
            ask(node.state, "status")


@pytest.mark.slow
def test_the_drain_deadline_cuts_what_does_not_end(tmp_path: Path) -> None:
    with running(tmp_path, CONFIG.replace("drain_ms = 5000", "drain_ms = 300")) as node:
        with node.open("/http/drip?400") as slow:
            began = time.monotonic()
            assert node.stop() == 0
            assert time.monotonic() - began < 4
            with pytest.raises(http.client.IncompleteRead):
                slow.read()
        assert "requests were cut at the drain deadline" in node.log


@pytest.mark.slow
def test_when_the_supervisor_is_killed_its_processes_end_and_the_next_node_cleans_up(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        processes = processes_of(node.status()) + children(node.process.pid, "wasmind.control")
        owner = read_owner(node.state)
        assert owner
        node.kill()
        await_end(processes)
        assert Path(owner.run).is_dir()
    with running(tmp_path) as node:
        assert node.get("/ask/linear").text == ANSWER
        assert not Path(owner.run).exists()
