"""Whole nodes that serve components: compiled, routed, given models, replaced."""

from __future__ import annotations

import struct
import threading
from typing import TYPE_CHECKING

import pytest

from support.commands import wasmind
from support.components import parse
from support.nodes import NodeProcess, prepare, running
from support.onnx_models import plus_one
from support.toolchains import WIT, c, javascript, python

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONFIG = """
[node]
workers = 1
ports = { functions = 0, api = 0 }
drain_ms = 5000

[models.plus]
path = "plus.onnx"

[functions.think]
module = "think.wasm"
route = "/plus"
models = ["plus"]
limits = { cpu_ms = 2000 }

[functions.hello]
module = "hello.wasm"
route = "/*"
limits = { cpu_ms = 2000 }
"""
X = struct.pack("<4f", 1, 2, 3, 4)
Y = struct.pack("<4f", 2, 3, 4, 5)


def files(directory: Path) -> Path:
    (directory / "think.wasm").write_bytes(c("think", WIT, "http-nn"))
    (directory / "hello.wasm").write_bytes(c("hello", WIT, "http"))
    (directory / "plus.onnx").write_bytes(plus_one())
    return prepare(directory, CONFIG)


def test_a_component_with_a_model(tmp_path: Path) -> None:
    with running(files(tmp_path), CONFIG) as node:
        assert node.get("/").body == b"hello from a component\n"
        answer = node.get("/plus?x", method="POST", body=X)
        assert (answer.status, answer.body) == (200, b"y " + Y)
        refused = node.get("/plus?z", method="POST", body=X)
        assert refused.status == 500
        assert "no input" in refused.text
        node.until(lambda: 'function="think"' in node.api("/metrics").text)


@pytest.mark.slow
def test_a_reload_replaces_a_component_and_loses_no_request(tmp_path: Path) -> None:
    with running(files(tmp_path), CONFIG) as node:
        answers: list[tuple[int, bytes]] = []
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                answer = node.get("/hello")
                answers.append((answer.status, answer.body))

        asking = [threading.Thread(target=ask) for _ in range(2)]
        for each in asking:
            each.start()
        node.until(lambda: len(answers) > 5)
        (tmp_path / "hello.wasm").write_bytes(c("server", WIT, "http"))
        before = node.status().generation
        node.reload()
        node.until(lambda: node.status().generation > before)
        node.until(lambda: answers[-1] == (201, b"hello"))
        stop.set()
        for each in asking:
            each.join()
    assert set(answers) == {(200, b"hello from a component\n"), (201, b"hello")}
    assert answers.index((201, b"hello")) > 5


@pytest.mark.slow
def test_a_component_that_cannot_serve_is_refused_at_once(tmp_path: Path) -> None:
    (files(tmp_path) / "hello.wasm").write_bytes(parse("(component)"))
    node = NodeProcess(tmp_path)
    assert node.process.wait(60) != 0
    assert "the component serves no requests" in node.log
    assert "wasi:http/incoming-handler" in node.log


@pytest.mark.slow
def test_components_are_compiled_ahead(tmp_path: Path) -> None:
    found = {each["name"]: each for each in wasmind("compile", "--json", cwd=files(tmp_path)).json}
    assert {each["kind"] for each in found.values()} == {"wasi-http"}
    assert found["think"]["artifact"].endswith(".plan")
    assert "wasi:nn/graph@0.2.0-rc-2024-10-28.load-by-name" in found["think"]["imports"]
    assert found["think"]["exports"] == ["wasi:http/incoming-handler@0.2.12.handle"]
    assert found["think"]["linked"] is None, "it is one module"
    listed = wasmind("functions", "ls", "--json", cwd=tmp_path).json
    assert listed["think"]["program"] == "component"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "build"), [("python", python), ("javascript", javascript)])
def test_languages(tmp_path: Path, name: str, build: Callable[..., bytes]) -> None:
    (files(tmp_path) / "think.wasm").write_bytes(build("web", WIT, "http-nn"))
    config = CONFIG.replace('"/plus"', '["/think/plus", "/hello", "/fail"]')
    prepare(tmp_path, config)
    wasmind("compile", cwd=tmp_path, seconds=300)
    with running(tmp_path, config) as node:
        assert node.get("/hello").body == f"hello from {name}".encode()
        answer = node.get("/think/plus", method="POST", body=X)
        assert answer.body == b"y (2.0, 3.0, 4.0, 5.0)"
        failed = node.get("/fail")
        assert failed.status == 502
        said = {"python": "on purpose", "javascript": "guest-trap"}  # built without stderr
        assert said[name] in node.log
