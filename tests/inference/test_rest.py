"""The REST port as its clients see it: who may call, what is refused, how a request may hurt."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import socket
import struct
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from support.nodes import NodeProcess

X = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
INFER = "/v2/models/linear/infer"


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self) -> Any:
        return json.loads(self.body)


def where(node: NodeProcess) -> str:
    url = node.status().inference_url
    assert url
    return url.removeprefix("http://")


def ask(
    node: NodeProcess, path: str, body: Any = None, *, token: str | None = "acme-token", **headers: str
) -> Answer:
    """GET, or POST with a body."""
    connection = http.client.HTTPConnection(where(node), timeout=20)
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        sent["authorization"] = f"Bearer {token}"
    try:
        connection.request("GET" if body is None else "POST", path, data, sent)
        return Answer(connection.getresponse())
    finally:
        connection.close()


# --- who may call -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v2", "/v2/", "/v2/health/live", "/v2/health/ready"])
def test_what_everybody_may_know(node: NodeProcess, path: str) -> None:
    assert ask(node, path, token=None).status == 200


@pytest.mark.parametrize("token", [None, "", "acme-tokem", "acme-token2", "x" * 5000])
def test_without_a_tenants_token_nothing_else_is_answered(node: NodeProcess, token: str | None) -> None:
    for path, body in (
        ("/v2/models/linear", None),
        (INFER, X),
        ("/v2/repository/index", {}),
        ("/nope", None),
    ):
        answer = ask(node, path, body, token=token)
        assert answer.status == 401, path
        assert "bearer" in answer.json()["error"].lower() or "token" in answer.json()["error"]


@pytest.mark.parametrize("sent", ["Basic acme-token", "Bearer", "acme-token"])
def test_other_schemes(node: NodeProcess, sent: str) -> None:
    assert ask(node, INFER, X, token=None, authorization=sent).status == 401


@pytest.mark.parametrize("token", ["boss-token", "boss-other"])
def test_a_tenant_may_have_several_tokens(node: NodeProcess, token: str) -> None:
    assert ask(node, "/v2/models/bosses/infer", X, token=token).status == 200


@pytest.mark.parametrize("model", ["other", "bosses", "nope"])
def test_a_model_that_is_not_the_tenants_does_not_exist(node: NodeProcess, model: str) -> None:
    for path, body in ((f"/v2/models/{model}", None), (f"/v2/models/{model}/infer", X)):
        answer = ask(node, path, body)
        assert (answer.status, answer.json()) == (404, {"error": f"no such model: {model!r}"})


def test_the_index_has_what_a_tenant_may_name(node: NodeProcess) -> None:
    assert [one["name"] for one in ask(node, "/v2/repository/index", {}).json()] == ["linear"]
    of_boss = ask(node, "/v2/repository/index", b"", token="boss-token").json()
    assert {one["name"] for one in of_boss} == {"linear", "other", "bosses"}


def test_statistics_are_a_tenants_own(node: NodeProcess) -> None:
    assert ask(node, "/v2/models/other/infer", X, token="boss-token").status == 200
    told = ask(node, "/v2/models/stats", token="boss-token").json()["model_stats"]
    assert {one["name"]: one["inference_count"] > 0 for one in told}["other"]
    assert ask(node, "/v2/models/other/stats").status == 404
    (own,) = ask(node, "/v2/models/stats").json()["model_stats"]
    assert own["name"] == "linear"


def test_only_who_may_manages(node: NodeProcess) -> None:
    answer = ask(node, "/v2/repository/models/linear/unload", b"")
    assert answer.status == 403
    assert "manage = true" in answer.json()["error"]


def test_unloading_and_loading(node: NodeProcess) -> None:
    def other(what: str, body: Any = b"") -> Answer:
        return ask(node, what, body, token="boss-token")

    assert other("/v2/repository/models/other/unload").status == 200
    states = {one["name"]: one["state"] for one in other("/v2/repository/index").json()}
    assert states == {"linear": "READY", "other": "UNAVAILABLE", "bosses": "READY"}
    assert [one["name"] for one in other("/v2/repository/index", {"ready": True}).json()] != list(states)
    assert other("/v2/models/other/infer", X).status == 503
    assert other("/v2/models/other/ready", None).json() == {"name": "other", "ready": False}
    assert other("/v2/repository/models/other/load").status == 200
    assert other("/v2/models/other/infer", X).status == 200
    assert other("/v2/repository/models/nope/load").status == 404


# --- a node in dev mode -----------------------------------------------------------------------------------


def test_in_dev_mode_this_machine_needs_no_token(dev_node: NodeProcess) -> None:
    assert ask(dev_node, INFER, X, token=None).json()["outputs"][0]["data"] == [3, 5, 7, 9]


def test_what_belongs_to_a_tenant_is_not_everybodys(dev_node: NodeProcess) -> None:
    assert ask(dev_node, "/v2/models/bosses", token=None).status == 404


@pytest.mark.parametrize(
    "headers", [{"host": "evil.example"}, {"host": "evil.example:8081"}, {"origin": "https://evil.example"}]
)
def test_a_web_page_of_elsewhere_cannot_call(dev_node: NodeProcess, headers: dict[str, str]) -> None:
    answer = ask(dev_node, INFER, X, token=None, **headers)
    assert answer.status == 403
    assert "web page" in answer.json()["error"]


def test_without_dev_mode_and_tenants_no_port_is_opened(tmp_path: Any) -> None:
    from wasmind.config import parse
    from wasmind.node.callers import serves_inference

    for settings, served in (
        ({}, False),
        ({"node": {"dev": True}}, True),
        ({"node": {"dev": True, "host": "0.0.0.0"}}, False),
        ({"tenants": {"a": {}}}, False),
        ({"tenants": {"a": {"tokens_file": "t"}}}, True),
        ({"node": {"dev": True}, "tenants": {"a": {}}}, False),
    ):
        assert serves_inference(parse(settings, tmp_path)) is served, settings


# --- requests that are none -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v2/nothing", None, 404),
        ("/", None, 404),
        ("/v2/models/linear/trace", None, 404),
        (INFER, None, 405),
        ("/v2/models/linear", {}, 405),
        (INFER, b"{", 400),
        (INFER, b"", 400),
        ("/v2/repository/index", b"[1", 400),
        ("/v2/models/linear/versions/9/infer", X, 404),
        ("/v2/models/linear/versions/1/infer", X, 200),
    ],
)
def test_statuses(node: NodeProcess, path: str, body: Any, status: int) -> None:
    answer = ask(node, path, body)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    if status == 405:
        assert answer.headers["allow"] in ("POST", "GET")


def test_a_body_that_is_too_large(node: NodeProcess) -> None:
    answer = ask(node, INFER, bytes(2 << 20))
    assert answer.status == 413
    assert ask(node, INFER, X).status == 200


def test_a_body_that_unpacks_to_too_much(node: NodeProcess) -> None:
    bomb = gzip.compress(bytes(50 << 20))
    assert len(bomb) < 1 << 20
    answer = ask(node, INFER, bomb, content_encoding="gzip")
    assert (answer.status, "unpacked" in answer.json()["error"]) == (413, True)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", b"not gzip"),
        ("gzip", gzip.compress(json.dumps(X).encode())[:-9]),
        ("deflate", gzip.compress(b"{}")),
        ("br", b"x"),
    ],
    ids=["gzip that is none", "gzip cut short", "gzip called deflate", "br"],
)
def test_codings_that_are_none(node: NodeProcess, coding: str, body: bytes) -> None:
    assert ask(node, INFER, body, content_encoding=coding).status == 400


def test_a_compressed_request_whose_header_counts_what_was_compressed(node: NodeProcess) -> None:
    given = {"name": "x", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}
    head = json.dumps({"inputs": [given]}).encode()
    body = zlib.compress(head + struct.pack("<4f", 1, 2, 3, 4))
    answer = ask(
        node,
        INFER,
        body,
        content_encoding="deflate",
        inference_header_content_length=str(len(head)),
    )
    assert answer.json()["outputs"][0]["data"] == [3, 5, 7, 9]


def test_small_answers_and_clients_of_many_codings_get_plain_ones(node: NodeProcess) -> None:
    for accepted in ("gzip", "gzip, deflate, br"):
        assert ask(node, INFER, X, accept_encoding=accepted).headers["content-encoding"] is None


def test_a_client_that_stalls_in_its_body(node: NodeProcess) -> None:
    host, port = where(node).split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        head = f"POST {INFER} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer acme-token\r\n"
        connection.sendall(f"{head}content-length: 100\r\n\r\n{{".encode())
        assert b" 408 " in connection.recv(4096).partition(b"\r\n")[0]


def test_what_is_no_http(node: NodeProcess) -> None:
    host, port = where(node).split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(b"\x16\x03\x01\x00\xa5\x01\x00\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 400")


def test_many_at_once(node: NodeProcess) -> None:
    found: list[int] = []

    def calls() -> None:
        found.extend(ask(node, INFER, X).status for _ in range(10))

    threads = [threading.Thread(target=calls) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [200] * 80


# --- what is said of it -----------------------------------------------------------------------------------


def test_requests_are_counted(node: NodeProcess) -> None:
    ask(node, INFER, X)
    ask(node, "/v2/models/made-up-name/infer", X)
    line = re.compile(r"wasmind_oip_requests_total\{(.*)\} ([0-9.]+)")

    def counted() -> bool:
        found = [
            dict(re.findall(r'(\w+)="([^"]*)"', labels))
            for labels, _ in line.findall(node.api("/metrics").text)
        ]
        success = {"tenant": "acme", "model": "linear", "protocol": "rest", "outcome": "success"}
        unknown = {"tenant": "acme", "model": "", "protocol": "rest", "outcome": "invalid"}
        return success in found and unknown in found

    node.until(counted)
    assert "made-up-name" not in node.api("/metrics").text


def test_the_status_tells_where(node: NodeProcess) -> None:
    status = node.status()
    assert [one.state for one in status.inference] == ["serving"]
    assert status.inference_url in node.log


# --- its life ---------------------------------------------------------------------------------------------


def test_a_killed_process_is_replaced_on_the_same_port(node: NodeProcess) -> None:
    import os
    import signal

    before = node.status()
    (process,) = before.inference
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)

    def again() -> bool:
        (now,) = node.status().inference
        return now.restarts > 0 and now.state == "serving"

    node.until(again)
    assert node.status().inference_url == before.inference_url
    deadline = time.monotonic() + 10
    while ask(node, INFER, X).status != 200:
        assert time.monotonic() < deadline
