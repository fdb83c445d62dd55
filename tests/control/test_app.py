"""The API, over HTTP, of a real node."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.nodes import children
from support.onnx_models import linear
from wasmind.control.app import create_app

if TYPE_CHECKING:
    from pathlib import Path

    from support.nodes import NodeProcess


def figures(node: NodeProcess) -> dict[tuple[str, ...], float]:
    """The node's metrics: each sample's value by its name and the values of its labels."""
    answer = node.api("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_a_node_that_serves_is_healthy_and_ready(node: NodeProcess) -> None:
    assert node.api("/healthz").text == "ok\n"
    ready = node.api("/readyz")
    assert (ready.status, ready.json()) == (200, {"ready": True, "problems": []})


def test_models_tell_what_they_take_and_give(node: NodeProcess) -> None:
    listed = node.api("/api/v1/models").json()
    found = node.api("/api/v1/models/linear").json()
    assert found in listed
    assert found["description"] == "y = 2x + 1"
    assert found["state"] == "ready"
    assert found["functions"] == ["ask"]
    assert found["signature"]["inputs"] == [{"name": "x", "type": "f32", "dims": [1, 4]}]
    assert node.api(f"/api/v1/models/{found['digest']}").status == 404


def test_functions_tell_their_routes_models_and_limits(node: NodeProcess) -> None:
    found = node.api("/api/v1/functions/ask").json()
    assert found in node.api("/api/v1/functions").json()
    assert (found["routes"], found["models"], found["allow_load"]) == (["/ask/*"], ["linear"], True)
    assert found["limits"]["cpu_ms"] == 1000
    assert found["limits"]["memory"] == 128 << 20


def test_the_status_names_every_process(node: NodeProcess) -> None:
    found = node.api("/api/v1/status").json()
    assert found["pid"] == node.process.pid
    assert [edge["state"] for edge in found["edges"]] == ["serving"]


@pytest.mark.parametrize(
    ("path", "method", "status", "code"),
    [
        ("/api/v1/models/none", "GET", 404, "model-not-found"),
        ("/api/v1/functions/none", "GET", 404, "function-not-found"),
        ("/nothing", "GET", 404, "not-found"),
        ("/healthz", "POST", 405, "method-not-allowed"),
    ],
)
def test_errors_are_problem_details(
    node: NodeProcess, path: str, method: str, status: int, code: str
) -> None:
    answer = node.api(path, method=method)
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (answer.status, problem["status"], problem["code"]) == (status, status, code)
    assert problem["title"]


def test_metrics_of_all_processes_are_merged(node: NodeProcess) -> None:
    before = figures(node)
    for _ in range(5):
        assert node.get("/ask/linear").status == 200
    node.get("/http/trap")
    time.sleep(1.2)  # figures are written each second
    after = figures(node)

    def grown(*sample: str) -> float:
        return after.get(sample, 0) - before.get(sample, 0)

    assert grown("wasmind_requests_total", "ask", "200") == 5
    assert grown("wasmind_requests_total", "http", "502") == 1
    assert grown("wasmind_request_duration_seconds_count", "ask") == 5
    assert grown("wasmind_inferences_total", "linear", "success", "shared") == 5
    assert after["wasmind_model_ready", "linear", "shared"] == 1
    assert after["wasmind_model_memory_bytes", "linear", "shared"] > 10 << 20
    assert after["wasmind_config_generation",] == node.status().generation
    assert all(name.startswith("wasmind_") for name, *_ in after)


@pytest.mark.slow
def test_counts_survive_the_process_that_counted(node: NodeProcess) -> None:
    from support.nodes import kill

    assert node.get("/http/hello").status == 200
    time.sleep(1.2)
    before = figures(node)["wasmind_requests_total", "http", "200"]
    (edge,) = node.status().edges
    kill(edge.pid)
    node.until(lambda: node.status().edges[0].restarts > edge.restarts and not node.status().problems)
    assert figures(node)["wasmind_requests_total", "http", "200"] == before


def test_while_a_model_loads_or_is_gone_the_node_is_not_ready(node: NodeProcess) -> None:
    from support.nodes import kill

    kill(node.model().pid)
    node.until(lambda: node.model().state == "restarting")
    answer = node.api("/readyz")
    if answer.status == 503:  # it may be back already
        assert answer.json()["problems"][0].startswith("the model 'linear' is restarting: killed by signal 9")
    node.until(lambda: node.api("/readyz").status == 200)


@pytest.mark.slow
def test_a_drained_node_serves_on_and_is_not_ready(tmp_path: Path) -> None:
    from support.nodes import running
    from wasmind.node.client import ask

    with running(tmp_path) as node:
        ask(node.state, "drain")
        assert node.api("/readyz").status == 503
        assert node.api("/healthz").status == 200
        assert node.get("/http/hello").text == "hello\n"


def test_the_openapi_document_describes_what_is_sent(node: NodeProcess) -> None:
    document = node.api("/openapi.json").json()
    assert set(document["paths"]) >= {
        "/healthz",
        "/readyz",
        "/metrics",
        "/api/v1/models",
        "/api/v1/functions",
    }
    schema = document["paths"]["/api/v1/models/{name}"]["get"]["responses"]["200"]
    assert schema["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ModelStatus"}
    described = document["components"]["schemas"]["ModelStatus"]["properties"]
    assert set(node.api("/api/v1/models/linear").json()) == set(described)


def test_the_document_needs_no_node(tmp_path: Path) -> None:
    document = create_app(tmp_path, tmp_path).openapi()
    assert document["info"]["title"] == "wasmind node"


def test_the_control_process_holds_no_framework_and_no_sandbox(node: NodeProcess) -> None:
    (pid,) = children(node.process.pid, "wasmind.control")
    with open(f"/proc/{pid}/maps") as maps:
        mapped = maps.read()
    assert "wasmtime" not in mapped
    assert "onnxruntime" not in mapped
    assert linear()
