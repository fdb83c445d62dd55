"""Requests that wait together for one slow inference, and the node of one edge worker that they wait in."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import node
from benchmarks.peer.wasmtime import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = """
[node]
workers = 1
log_level = "warning"
drain_ms = 100
ports = {{ functions = {port}, api = {api} }}

[models.linear]
{model}
deadline_ms = 600_000

[functions.hello]
module = "hello.wasm"
route = "/hello"

[functions.infer]
module = "infer.wasm"
route = "/infer"
models = ["linear"]
limits = {{ wall_ms = 600_000, concurrency = 20_000 }}
"""
BATCH = 200
"""Connections that are opened at once."""


class Served(NamedTuple):
    """A node under measurement."""

    url: str
    """Of its functions."""
    api: int
    """The port of its API."""
    edge: int
    """Its edge worker's process id."""


@contextlib.contextmanager
def serving(name: str, model: str) -> Iterator[Served]:
    """Serve `hello` and `infer` from a directory of this name; `model` says where the model of `infer` is."""
    node.prepare()
    directory = node.BUILD / name
    directory.mkdir(exist_ok=True)
    for guest in ("hello.wasm", "infer.wasm"):
        (directory / guest).write_bytes((node.BUILD / guest).read_bytes())
    port, api = free_port(), free_port()
    configuration = directory / "wasmind.toml"
    configuration.write_text(CONFIG.format(port=port, api=api, model=model))
    with node.running(configuration, api) as process:
        yield Served(f"http://127.0.0.1:{port}", api, edge_of(process.pid))


def edge_of(supervisor: int) -> int:
    """The process id of a supervisor's edge worker."""
    for child in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
        if b"wasmind.edge" in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    raise RuntimeError("the node has no edge worker")


def resident(pid: int) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def under_way(api: int) -> int:
    """How many requests are under way, by the node's own figures."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{api}/metrics", timeout=10).read().decode()
    found = re.search(r"^wasmind_requests_running ([\d.]+)", text, re.MULTILINE)
    return int(float(found[1])) if found else 0


async def wait_together(served: Served, guests: int) -> list[asyncio.StreamWriter]:
    """Send so many requests, and return once all of them are under way."""
    port = int(served.url.rpartition(":")[2])
    writers = []
    for _ in range(0, guests, BATCH):
        opened = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(BATCH)))
        for _, writer in opened:
            writer.write(b"GET /infer HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n")
            writers.append(writer)
    while await asyncio.to_thread(under_way, served.api) < len(writers):
        await asyncio.sleep(0.5)
    return writers
