"""Published clients, unchanged, against a node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.oip_clients import told

if TYPE_CHECKING:
    from support.nodes import NodeProcess

Y = [[3, 5, 7, 9]]
CLASSES = ["9.000000:3:three", "7.000000:2:two"]


def rest(node: NodeProcess) -> str:
    url = node.status().inference_url
    assert url
    return url.removeprefix("http://")


def grpc(node: NodeProcess) -> str:
    address = node.status().inference_grpc
    assert address
    return address


def test_tritonclient_http(node: NodeProcess) -> None:
    pytest.importorskip("tritonclient", reason="tritonclient[http] is not installed")
    met = told("tritonclient.http", rest(node), "acme-token")
    assert met["y"] == met["json"] == met["gzip"] == met["deflate"] == Y
    assert [met[name] for name in ("live", "ready", "model", "version")] == [True] * 4
    assert met["server"]["name"] == "wasmind"
    assert met["metadata"]["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [1, 4]}]
    assert met["index"] == [{"name": "linear", "version": "1", "state": "READY", "reason": ""}]
    assert met["id"]["id"] == "7"
    assert met["classes"] == CLASSES
    assert met["unknown"][0] == met["version 9"][0] == "404"
    assert met["wrong"][0] == "400"
    assert "expected f32 [1,4]" in met["wrong"][1]
    (statistics,) = met["statistics"]["model_stats"]
    split = statistics["inference_stats"]
    assert statistics["name"] == "linear"
    assert split["success"]["count"] >= 3
    assert split["success"]["ns"] >= split["queue"]["ns"] + split["compute_infer"]["ns"] > 0


def test_tritonclient_grpc(node: NodeProcess) -> None:
    pytest.importorskip("tritonclient", reason="tritonclient[grpc] is not installed")
    met = told("tritonclient.grpc", grpc(node), "acme-token")
    assert met["y"] == Y
    assert [met[name] for name in ("live", "ready", "model", "version")] == [True] * 4
    assert met["classes"] == CLASSES
    assert met["states"] == [["linear", "1", "READY"]]
    assert met["counted"] >= 3
    assert met["metadata"]["name"] == "linear"
    assert met["unknown"][0] == met["version 9"][0] == "StatusCode.NOT_FOUND"
    assert met["wrong"][0] == "StatusCode.INVALID_ARGUMENT"
    assert "expected f32 [1,4]" in met["wrong"][1]


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_tritonclient_asyncio(node: NodeProcess, kind: str) -> None:
    pytest.importorskip("tritonclient", reason="tritonclient is not installed")
    address = rest(node) if kind == "http" else grpc(node)
    assert told(f"tritonclient.{kind}.aio", address, "acme-token") == {"y": Y, "answers": 20, "model": True}


def test_open_inference_openapi(dev_node: NodeProcess) -> None:
    """It shows no token, so it asks a node in dev mode."""
    pytest.importorskip("open_inference.openapi", reason="open-inference-openapi is not installed")
    met = told("open-inference-openapi", rest(dev_node))
    assert met == {
        "server": "wasmind",
        "inputs": [["x", "FP32", [1, 4]]],
        "id": "7",
        "y": [3, 5, 7, 9],
        "unknown": 404,
    }


@pytest.mark.peers
@pytest.mark.parametrize("kind", ["rest", "grpc"])
def test_kserve(node: NodeProcess, kind: str) -> None:
    from support.peers import environment

    python = environment("kserve") / "bin" / "python"
    met = told(f"kserve.{kind}", rest(node) if kind == "rest" else grpc(node), "acme-token", python)
    assert [met[name] for name in ("live", "ready", "model")] == [True] * 3
    assert met["raw"] == Y
    assert met.get("json", Y) == Y
