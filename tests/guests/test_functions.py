"""Functions that use everything the helpers for Python and JavaScript have, built and served."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from support.guests import ROOT
from support.languages import built, use
from support.nodes import NodeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow
COMPILED_S = 180
FUNCTIONS = ROOT / "tests" / "guests" / "functions"


@pytest.fixture(scope="module", params=["every.py", "every.js"])
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    directory = tmp_path_factory.mktemp("every")
    with pytest.MonkeyPatch.context() as patch:
        use({"py": "python", "js": "javascript"}[request.param.rpartition(".")[2]], patch)
        shutil.copy(FUNCTIONS / request.param, directory)
        built(directory / request.param, directory / "every.wasm", models=True)
    config = (FUNCTIONS / "wasmind.toml").read_text().replace("SOURCE", request.param)
    (directory / "wasmind.toml").write_text(config)
    shutil.copy(ROOT / "examples" / "double" / "linear.onnx", directory)
    node = NodeProcess(directory)
    try:
        node.until(lambda: node.status().phase == "ready", COMPILED_S)
        yield node
    finally:
        node.stop()


def test_what_was_asked(node: NodeProcess) -> None:
    for _ in range(2):  # nothing is left of the first one
        answer = node.get("/a%20b/asked?x=1&y=a+b%21&x=2&z", headers={"X-Two": "2"})
        found = answer.json()
        assert answer.headers["content-type"] == "application/json"
        assert found.pop("host").startswith("127.0.0.1:")
        assert found == {
            "method": "GET",
            "path": "/a b/asked",
            "query": {"x": "2", "y": "a b!", "z": ""},
            "header": "2",
            "missing": None,
            "calls": 1,
        }


def test_bodies(node: NodeProcess) -> None:
    data = bytes(range(256)) * 1000
    echoed = node.get("/echo", method="POST", body=data)
    assert (echoed.status, echoed.body) == (200, data)
    assert echoed.headers["content-length"] == str(len(data))
    assert echoed.headers["content-type"] == "application/octet-stream"
    text = node.get("/text", method="POST", body="grün".encode())
    assert (text.text, text.headers["content-type"]) == ("grün", "text/plain; charset=utf-8")
    assert node.get("/echo", method="POST", body=b"").body == b""


def test_streams_with_status_and_headers(node: NodeProcess) -> None:
    answer = node.get("/streamed", method="PUT", body=b"abc" * 100_000)
    assert (answer.status, answer.body) == (201, b"ABC" * 100_000)
    assert answer.headers["content-type"] == "text/x-own"
    assert answer.headers["x-a"] == "b"


def test_models(node: NodeProcess) -> None:
    assert node.get("/name", method="POST", body=b"[1, 2.5]").json() == ["f32", [2, 1], [[3], [6]]]
    assert node.get("/position").json() == [3, 5]


def test_errors_of_models_have_kinds_and_reasons(node: NodeProcess) -> None:
    unknown, name, kind = node.get("/refused").json()
    assert unknown.startswith("NotFound not-found ")
    assert name.startswith("InvalidArgument invalid-argument ")
    assert '"z"' in name
    assert kind.startswith("InvalidArgument invalid-argument ")
    assert "f32" in kind


def test_errors_that_are_answers(node: NodeProcess) -> None:
    answer = node.get("/teapot")
    assert (answer.status, answer.text) == (418, "short and stout\n")
    wrong = node.get("/name", method="POST", body=b"[1")
    assert wrong.status == 400
    assert "no JSON" in wrong.text


def test_an_exception_is_in_the_log_and_told_in_dev_mode(node: NodeProcess) -> None:
    answer = node.get("/broken")
    assert answer.status == 502
    assert "on purpose" in answer.json()["cause"]
    node.until(lambda: "stream=stderr" in node.log and "on purpose" in node.log)
    assert node.get("/position").status == 200
