"""What an operator and a service manager do to a node: signals and notifications."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import time
from typing import TYPE_CHECKING

import pytest

from support.nodes import CONFIG, NodeProcess, alive, await_end, children, prepare, running

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


def test_a_service_manager_hears_of_the_whole_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with running(tmp_path) as node:
            assert manager.recv(100).decode() == f"READY=1\nMAINPID={node.process.pid}"
            assert node.get("/http/hello").status == 200
            node.process.send_signal(signal.SIGHUP)
            assert manager.recv(100) == b"RELOADING=1"
            assert manager.recv(100) == b"READY=1"
            assert node.stop() == 0
            assert manager.recv(100) == b"STOPPING=1"


def test_a_broken_configuration_by_sighup_is_logged_and_changes_nothing(node: NodeProcess) -> None:
    generation, before = node.status().generation, len(node.log)
    node.reconfigure('path = "linear.onnx"', 'path = "gone.onnx"')
    node.process.send_signal(signal.SIGHUP)
    node.until(lambda: "reload refused: nothing has changed" in node.log[before:])
    assert "gone.onnx" in node.log[before:]
    status = node.status()
    assert status.generation == generation
    assert status.reload_failure
    node.configure(CONFIG)
    node.process.send_signal(signal.SIGHUP)
    node.until(lambda: node.status().generation == generation + 1)
    assert node.status().reload_failure is None


def test_a_stop_while_it_starts_is_a_clean_end(tmp_path: Path) -> None:
    prepare(tmp_path)
    for pause in (0.45, 0.8):
        node = NodeProcess(tmp_path)
        time.sleep(pause)
        processes = [
            pid
            for module in ("edge", "worker", "control")
            for pid in children(node.process.pid, f"wasmind.{module}")
        ]
        assert node.stop() in (0, -signal.SIGTERM)  # the latter before Python minds signals at all
        await_end(processes)
        assert "Traceback" not in node.log


def test_told_twice_to_stop_it_cuts_what_runs(tmp_path: Path) -> None:
    with running(tmp_path, CONFIG.replace("drain_ms = 5000", "drain_ms = 60000")) as node:
        (edge,) = node.status().edges
        with node.open("/http/drip?400") as slow:
            node.process.send_signal(signal.SIGINT)
            node.until(lambda: "stopping" in node.log)
            time.sleep(0.3)
            assert alive(edge.pid or 0)
            began = time.monotonic()
            node.process.send_signal(signal.SIGINT)
            assert node.process.wait(10) == 0
            assert time.monotonic() - began < 5
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                slow.read()
        assert "told again to stop" in node.log


def test_ctrl_c_in_a_terminal_reaches_the_supervisor_alone(node: NodeProcess) -> None:
    """Its processes have sessions of their own, so the terminal's signal does not reach them first."""
    own = os.getsid(node.process.pid)
    for module in ("edge", "control"):
        (pid,) = children(node.process.pid, f"wasmind.{module}")
        assert os.getsid(pid) != own
