"""Thousands of requests that wait for one slow inference in one edge worker: what each costs, whom it slows.

    python -m benchmarks.waiting [--guests 10000]

Resident memory is that of the whole edge worker: connection, request, sandbox, inference. The
small function beside them is measured before and while they wait.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import resource
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
from onnx import TensorProto, helper

from benchmarks import node
from benchmarks.load import load
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
path = "slow.onnx"
warm_up = false
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


def slow_model() -> bytes:
    """A model that counts for longer than anybody waits."""
    body = helper.make_graph(
        [
            helper.make_node("Add", ["count", "one"], ["next"]),
            helper.make_node("Identity", ["going"], ["on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("count", TensorProto.FLOAT, [1, 1]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [1, 1]),
        ],
        [helper.make_tensor("one", TensorProto.FLOAT, [1, 1], [1.0])],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["turns", "yes", "x"], ["y"], body=body)],
        "slow",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])],
        [
            helper.make_tensor("turns", TensorProto.INT64, [], [1 << 40]),
            helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


@contextlib.contextmanager
def serving() -> Iterator[tuple[str, int, int]]:
    """A node of one edge worker; yields its URL, the port of its API and the edge worker's process id."""
    node.prepare()
    directory = node.BUILD / "waiting"
    directory.mkdir(exist_ok=True)
    for name in ("hello.wasm", "infer.wasm"):
        (directory / name).write_bytes((node.BUILD / name).read_bytes())
    (directory / "slow.onnx").write_bytes(slow_model())
    port, api = free_port(), free_port()
    (directory / "wasmind.toml").write_text(CONFIG.format(port=port, api=api))
    with (directory / "node.log").open("wb") as log:
        words = [sys.executable, "-m", "wasmind", "serve", "-c", str(directory / "wasmind.toml")]
        process = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
        try:
            node.await_ready(api, process)
            yield f"http://127.0.0.1:{port}", api, edge_of(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def edge_of(supervisor: int) -> int:
    """The process id of a supervisor's edge worker."""
    for child in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
        if b"wasmind.edge" in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    raise RuntimeError("the node has no edge worker")


def resident(pid: int) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def running(api: int) -> int:
    """How many requests are under way, by the node's own figures."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{api}/metrics", timeout=10).read().decode()
    found = re.search(r"^wasmind_requests_running ([\d.]+)", text, re.MULTILINE)
    return int(float(found[1])) if found else 0


async def wait_together(url: str, api: int, guests: int) -> list[asyncio.StreamWriter]:
    """Send so many requests, and return once all of them are under way."""
    port = int(url.rpartition(":")[2])
    writers = []
    for _ in range(0, guests, BATCH):
        opened = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(BATCH)))
        for _, writer in opened:
            writer.write(b"GET /infer HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n")
            writers.append(writer)
    while await asyncio.to_thread(running, api) < len(writers):
        await asyncio.sleep(0.5)
    return writers


async def measure(guests: int) -> None:
    """Print the figures."""
    with serving() as (url, api, edge):
        alone = [load(f"{url}/hello", connections=8, seconds=3) for _ in range(3)]
        before = resident(edge)
        writers = await wait_together(url, api, guests)
        each = (resident(edge) - before) / len(writers) / 1024
        beside = [load(f"{url}/hello", connections=8, seconds=3) for _ in range(3)]
        print(f"  {len(writers)} requests wait in one edge worker, {each:.1f} KiB resident each")
        rates = [max(one.rate for one in some) for some in (alone, beside)]
        print(f"  hello alone {rates[0]:.0f}/s, beside them {rates[1]:.0f}/s: {rates[1] / rates[0]:.2f}")
        for writer in writers:
            writer.transport.abort()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--guests", type=int, default=10_000)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(measure(parser.parse_args().guests))


if __name__ == "__main__":
    main()
