"""A component that calls no model runs unchanged under another host, and gives the same answers there."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.components import ROOT, tool
from support.languages import built, use
from support.nodes import NodeProcess

pytestmark = pytest.mark.slow
FUNCTIONS = ROOT / "tests" / "guests" / "functions"
CONFIG = """
[node]
workers = 1
ports = { functions = 0, api = 0 }

[functions.hello]
module = "hello.wasm"
route = "/*"
limits = { cpu_ms = 2000 }
"""
COMPILED_S = 180

Answers = list[tuple[int, str | None, object]]


@contextmanager
def wasmtime(component: Path) -> Iterator[int]:
    """`wasmtime serve` on a free port."""
    command = [tool("wasmtime"), "serve", "--addr", "127.0.0.1:0", "-S", "cli", str(component)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            said = ""
            for line in process.stderr:  # it compiles first
                said += line
                if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                    yield int(found[1])
                    break
            else:
                raise AssertionError(said)
        finally:
            process.kill()


@contextmanager
def wasmind(directory: Path) -> Iterator[int]:
    (directory / "wasmind.toml").write_text(CONFIG)
    node = NodeProcess(directory)
    try:
        node.until(lambda: node.status().phase == "ready", COMPILED_S)
        yield int(node.status().functions_url.rpartition(":")[2])
    finally:
        node.stop()


def answers(port: int) -> Answers:
    found: Answers = []
    for method, target, body in (
        ("GET", "/a%20b?x=1", b""),
        ("POST", "/", "grün".encode()),
        ("PUT", "/streamed", b"abc" * 50_000),
    ):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request(method, target, body)
        answer = connection.getresponse()
        data = answer.read()
        told = json.loads(data) if target != "/streamed" else data
        found.append((answer.status, answer.headers["content-type"], told))
        connection.close()
    return found


@pytest.mark.parametrize(("language", "source"), [("python", "hello.py"), ("javascript", "hello.js")])
def test_the_same_component(
    language: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(language, monkeypatch)
    shutil.copy(FUNCTIONS / source, tmp_path)
    built(tmp_path / source, tmp_path / "hello.wasm")
    with wasmind(tmp_path) as port:
        here = answers(port)
    with wasmtime(tmp_path / "hello.wasm") as port:
        assert answers(port) == here
    assert here[0][0] == 200
    assert here[0][2] == {"method": "GET", "path": "/a b", "query": {"x": "1"}, "body": ""}
    assert here[2][0] == 201
    assert here[2][2] == b"ABC" * 50_000
