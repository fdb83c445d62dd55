"""Whole nodes, as an operator runs them: `wasmind serve` on a configuration file, on free ports."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from support.guests import build
from support.onnx_models import linear
from wasmind.errors import NodeError
from wasmind.node.client import ask
from wasmind.node.status import ModelStatus, NodeStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_S = 30.0

CONFIG = """
[node]
workers = 1
ports = { functions = 0, api = 0 }
drain_ms = 5000

[models.linear]
path = "linear.onnx"
description = "y = 2x + 1"

[functions.http]
module = "http.wasm"
route = "/http/*"
limits = { cpu_ms = 1000, wall_ms = 10000 }

[functions.ask]
module = "ask.wasm"
route = "/ask/*"
models = ["linear"]
allow_load = true
limits = { cpu_ms = 1000 }
"""


class Response:
    """What a node answered."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.body = answer.read()

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


class NodeProcess:
    """A running `wasmind serve`."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.directory = directory
        self.state = directory / ".wasmind"
        self.log_path = directory / "node.log"
        command = [
            sys.executable,
            "-m",
            "wasmind",
            "serve",
            "-c",
            str(directory / "wasmind.toml"),
            *arguments,
        ]
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log)

    def await_ready(self) -> NodeProcess:
        """Wait until all it is configured to serve is served, or was given up."""
        self.until(lambda: self.status().phase == "ready")
        return self

    def status(self) -> NodeStatus:
        if self.process.poll() is not None:
            raise AssertionError(f"the node ended with {self.process.returncode}:\n{self.log}")
        return ask(self.state, "status")

    def model(self, name: str = "linear") -> ModelStatus:
        return next(model for model in self.status().models if model.name == name)

    def until(self, holds: Callable[[], object], seconds: float = PATIENCE_S) -> None:
        """Wait for something to hold."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if holds():
                    return
            except NodeError:
                pass  # it is starting
            if time.monotonic() > deadline:
                raise AssertionError(f"it never came to hold; the node's log:\n{self.log}")
            time.sleep(0.02)

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def get(self, path: str, **options: Any) -> Response:
        """A request to the functions."""
        return self._request(self.status().functions_url, path, **options)

    def api(self, path: str, **options: Any) -> Response:
        """A request to the API."""
        return self._request(self.status().api_url, path, **options)

    @contextmanager
    def open(self, path: str) -> Iterator[http.client.HTTPResponse]:
        """A request to the functions whose answer has begun; its body is still to be read."""
        where = urlsplit(self.status().functions_url).netloc
        with closing(http.client.HTTPConnection(where, timeout=PATIENCE_S)) as connection:
            connection.request("GET", path)
            with connection.getresponse() as response:
                yield response

    def _request(
        self,
        url: str,
        path: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Response:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, headers or {})
            return Response(connection.getresponse())
        finally:
            connection.close()

    def configure(self, text: str) -> None:
        """Write the configuration file."""
        (self.directory / "wasmind.toml").write_text(text)

    def reconfigure(self, old: str, new: str) -> None:
        """Change the configuration file."""
        file = self.directory / "wasmind.toml"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def reload(self) -> NodeStatus:
        return ask(self.state, "reload")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


def prepare(directory: Path, config: str = CONFIG) -> Path:
    """The files of a node: two functions, one model, a configuration."""
    for name in ("http", "ask"):
        (directory / f"{name}.wasm").write_bytes(build(f"{name}.c"))
    (directory / "linear.onnx").write_bytes(linear())
    (directory / "wasmind.toml").write_text(config)
    return directory


@contextmanager
def running(directory: Path, config: str = CONFIG, *arguments: str) -> Iterator[NodeProcess]:
    """A node that is ready; it is stopped, and if need be killed, at the end."""
    with started(prepare(directory, config), *arguments) as node:
        yield node


@contextmanager
def started(directory: Path, *arguments: str) -> Iterator[NodeProcess]:
    """A node of the configuration that is there."""
    node = NodeProcess(directory, *arguments)
    try:
        yield node.await_ready()
    finally:
        if node.process.poll() is None:
            try:
                node.stop()
            except subprocess.TimeoutExpired:
                node.kill()
                raise AssertionError(f"the node did not stop:\n{node.log}") from None


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def processes_of(status: NodeStatus) -> list[int]:
    """All processes of a node but the control process."""
    found = [status.pid, *(edge.pid for edge in status.edges), *(model.pid for model in status.models)]
    return [pid for pid in found if pid is not None and alive(pid)]


def kill(pid: int | None) -> None:
    """kill -9."""
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def children(pid: int, module: str) -> list[int]:
    """The processes that a process started with `python -m MODULE`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            command = path.with_name("cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it ended meanwhile
        if parent == pid and module.encode() in command and alive(int(path.parent.name)):
            found.append(int(path.parent.name))
    return found


def await_end(processes: list[int], seconds: float = 15.0) -> None:
    """Wait until none of these processes is left."""
    deadline = time.monotonic() + seconds
    while left := [pid for pid in processes if alive(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)
