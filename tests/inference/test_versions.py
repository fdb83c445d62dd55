"""Models with versions, as clients of the inference ports name them."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any

import pytest

from support.nodes import started
from support.onnx_models import linear

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.nodes import NodeProcess

pytestmark = pytest.mark.slow

CONFIG = """
[node]
dev = true
workers = 1
ports = { functions = 0, api = 0, oip_rest = 0, oip_grpc = 0 }

[models.same]
aliases = { old = 1 }
versions.1.path = "linear.onnx"
versions.2.path = "linear.onnx"

[models.chosen]
default = 1
versions.1.path = "linear.onnx"
versions.2.path = "linear.onnx"

[models.plain]
path = "linear.onnx"
"""
X = json.dumps({"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]})


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    directory: Path = tmp_path_factory.mktemp("versions")
    (directory / "wasmind.toml").write_text(CONFIG)
    (directory / "linear.onnx").write_bytes(linear())
    with started(directory) as node:
        yield node


def ask(node: NodeProcess, path: str, body: str | None = None) -> Any:
    url = node.status().inference_url
    assert url
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    try:
        connection.request("GET" if body is None else "POST", path, body)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("model", "version"),
    [
        ("same", "2"),
        ("same/versions/1", "1"),
        ("same/versions/2", "2"),
        ("same:old", "1"),
        ("chosen", "1"),
        ("chosen/versions/2", "2"),
        ("plain", "1"),
        ("plain/versions/1", "1"),
    ],
)
def test_an_answer_tells_which_version_gave_it(node: NodeProcess, model: str, version: str) -> None:
    told = ask(node, f"/v2/models/{model}/infer", X)
    assert told["model_version"] == version
    assert told["outputs"][0]["data"] == [3, 5, 7, 9]


def test_each_version_has_its_own_figures(node: NodeProcess) -> None:
    def counts() -> dict[str, int]:
        told = ask(node, "/v2/models/same/stats")["model_stats"]
        return {one["version"]: int(one["inference_count"]) for one in told}

    before = counts()
    for path in ("same", "same", "same/versions/1"):
        ask(node, f"/v2/models/{path}/infer", X)
    after = counts()
    assert {version: after[version] - before[version] for version in after} == {"1": 1, "2": 2}
    for path, versions in (("same/versions/1", ["1"]), ("same:old", ["1"]), ("chosen", ["1", "2"])):
        told = ask(node, f"/v2/models/{path}/stats")["model_stats"]
        assert [one["version"] for one in told] == versions


def test_all_versions_are_listed(node: NodeProcess) -> None:
    for name in ("same", "same:old"):
        told = ask(node, f"/v2/models/{name}")
        assert (told["name"], told["versions"]) == (name, ["2", "1"]), "the default first"


def test_an_alias_is_no_model_to_load(node: NodeProcess) -> None:
    for action in ("load", "unload"):
        assert "no such model" in ask(node, f"/v2/repository/models/same:old/{action}", "{}")["error"]
    assert ask(node, "/v2/repository/models/same/load", "{}") == {}


def test_grpc_tells_the_version_too(node: NodeProcess) -> None:
    grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
    from open_inference.grpc import protocol

    for model, version, expected in (("same", "", "2"), ("same", "1", "1"), ("chosen", "", "1")):
        request = protocol.ModelInferRequest(model_name=model, model_version=version)
        request.inputs.add(name="x", datatype="FP32", shape=(1, 4)).contents.fp32_contents.extend(
            [1, 2, 3, 4]
        )
        with grpc.insecure_channel(node.status().inference_grpc) as channel:
            infer = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer",
                request_serializer=protocol.ModelInferRequest.SerializeToString,
                response_deserializer=protocol.ModelInferResponse.FromString,
            )
            assert infer(request, timeout=20).model_version == expected
