"""The inference process over the node's life: it opens, reloads and ends with it."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from support.nodes import started
from wasmind.errors import ConfigError

from .conftest import CLOSED, DEV, MODELS, PORTS, write
from .test_rest import INFER, X, ask, where

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


def test_tokens_are_taken_over_by_a_reload(tmp_path: Path) -> None:
    with started(write(tmp_path, CLOSED)) as node:
        assert ask(node, INFER, X, token="new-token").status == 401
        digest = hashlib.sha256(b"new-token").hexdigest()
        (tmp_path / "acme.tokens").write_text(digest)
        node.reload()
        assert ask(node, INFER, X, token="new-token").status == 200
        assert ask(node, INFER, X, token="acme-token").status == 401
        (tmp_path / "acme.tokens").write_text("no hash")
        with pytest.raises(ConfigError, match="no SHA-256"):
            node.reload()
        assert ask(node, INFER, X, token="new-token").status == 200


def test_a_reload_opens_the_ports_when_somebody_may_call(tmp_path: Path) -> None:
    with started(write(tmp_path, f"[node]\n{PORTS}{MODELS}")) as node:
        assert node.status().inference_url is None
        node.configure(DEV)
        node.reload()
        assert ask(node, INFER, X, token=None).status == 200


def test_in_dev_mode_a_port_that_is_taken_is_no_obstacle(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with started(write(tmp_path, DEV.replace("oip_rest = 0", f"oip_rest = {port}"))) as node:
            assert not where(node).endswith(f":{port}")
            assert ask(node, INFER, X, token=None).status == 200
            assert "another port is used for inference" in node.log


def test_several_processes_share_the_ports(tmp_path: Path) -> None:
    with started(write(tmp_path, DEV.replace("[inference]", "[inference]\nworkers = 2"))) as node:
        assert [one.state for one in node.status().inference] == ["serving"] * 2
        assert [ask(node, INFER, X, token=None).status for _ in range(20)] == [200] * 20
        node.until(lambda: sum(one.requests for one in node.status().inference) == 20)


def test_a_request_under_way_is_finished_when_the_node_stops(tmp_path: Path) -> None:
    with started(write(tmp_path, DEV.replace("body_stall_ms = 500", ""))) as node:
        body = json.dumps(X).encode()
        connection = http.client.HTTPConnection(where(node), timeout=20)
        connection.putrequest("POST", INFER)
        connection.putheader("content-length", str(len(body)))
        connection.endheaders(body[:10])
        stopping: list[Any] = []
        node.until(lambda: [one.running for one in node.status().inference] == [1])
        stopper = threading.Thread(target=lambda: stopping.append(node.stop()))
        stopper.start()
        connection.send(body[10:])
        assert connection.getresponse().status == 200
        connection.close()
        stopper.join()
        assert stopping == [0]
