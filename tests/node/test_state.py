"""The state directory: one node at a time, short paths, nothing left behind."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from wasmind.errors import NodeError
from wasmind.node.state import StateDir, connect_to_status, listen_on_status, read_owner

HOLD = """
import sys
from pathlib import Path
from wasmind.node.state import StateDir
state = StateDir.take(Path(sys.argv[1]))
print(state.run, flush=True)
sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    """Another process that takes the state directory, and prints its run directory."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_taking_makes_directories_for_the_owner_alone(tmp_path: Path) -> None:
    state = StateDir.take(tmp_path / "deep" / "state")
    for path in (state.path, state.run):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert len(str(state.run)) < 60
    assert state.metrics.is_dir()
    owner = read_owner(state.path)
    assert owner
    assert (owner.pid, owner.run) == (os.getpid(), str(state.run))
    state.release()
    assert not state.run.exists()
    assert read_owner(state.path) is None


def test_a_second_node_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    with holder(tmp_path) as other:
        assert other.stdout
        run = Path(other.stdout.readline().strip())
        with pytest.raises(NodeError, match=f"process {other.pid}") as refused:
            StateDir.take(tmp_path)
        assert "wasmind stop" in (refused.value.remedy or "")
        other.kill()
        other.wait()
        assert run.is_dir()
    state = StateDir.take(tmp_path)
    assert not run.exists(), "what a killed node left is cleared"
    state.release()


def test_only_what_a_node_made_is_cleared(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / "lock").write_text(f'{{"pid": 1, "run": "{precious}"}}')
    StateDir.take(tmp_path).release()
    assert precious.is_dir()


def test_a_place_that_cannot_be_used_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NodeError, match="cannot be used") as refused:
        StateDir.take(tmp_path / "file")
    assert refused.value.remedy


def test_the_status_socket_works_below_any_path_and_for_the_owner_alone(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a" * 40] * 6)
    deep.mkdir(parents=True)
    with listen_on_status(deep) as listener:
        assert stat.S_IMODE((deep / "node.sock").stat().st_mode) == 0o600
        with connect_to_status(deep) as client:
            server, _ = listener.accept()
            with server:
                client.sendall(b"hello")
                assert server.recv(5) == b"hello"


def test_without_a_node_connecting_says_so(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="no node runs"):
        connect_to_status(tmp_path)
    with pytest.raises(NodeError, match="no node runs"):
        connect_to_status(tmp_path / "missing")
    listener = listen_on_status(tmp_path)
    listener.close()
    with pytest.raises(NodeError, match="no node runs"):
        connect_to_status(tmp_path)


def test_a_socket_left_behind_is_replaced(tmp_path: Path) -> None:
    listen_on_status(tmp_path).close()
    with listen_on_status(tmp_path), connect_to_status(tmp_path) as client:
        assert client.family == socket.AF_UNIX
