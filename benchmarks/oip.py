"""A tiny model by the Open Inference Protocol: this node's ports beside Triton's, in one run.

y = 2x + 1 on four numbers, eight requests at once, the same generator for both: wrk for REST, h2load for gRPC
(an asyncio client without it). Triton is the one out of the nvidia-pytriton wheel, whose only
backend calls onnxruntime from Python; where it cannot be installed, only ours is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.load import Load, generator, load
from benchmarks.node import BUILD, running
from benchmarks.peer.wasmtime import ROOT, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

sys.path.insert(0, str(ROOT / "tests"))
CONNECTIONS = 8
SECONDS = 3.0
ROUNDS = 3
CONFIG = """
[node]
workers = 1
dev = true
log_level = "warning"
ports = {{ functions = 0, api = {api}, oip_rest = {rest}, oip_grpc = {grpc} }}

[inference]
workers = 2

[models.linear]
path = "oip.onnx"
"""
X = struct.pack("<4f", 1, 2, 3, 4)
TENSOR = {"name": "x", "shape": [1, 4], "datatype": "FP32"}
INFER = "/inference.GRPCInferenceService/ModelInfer"


@dataclass(frozen=True, slots=True)
class Server:
    """One that is measured."""

    name: str
    rest: str
    grpc: str
    pid: int


@dataclass(slots=True)
class Best:
    """What a server showed in its best round; CPU is that of all its processes, for one request."""

    rate: float = 0.0
    cpu_us: float = math.inf
    failed: int = 0


def model() -> bytes:
    """The model that the tests use too."""
    from support.onnx_models import linear

    return linear()


@contextlib.contextmanager
def node() -> Iterator[Server]:
    """This node."""
    BUILD.mkdir(parents=True, exist_ok=True)
    (BUILD / "oip.onnx").write_bytes(model())
    api, rest, grpc = free_port(), free_port(), free_port()
    (BUILD / "oip.toml").write_text(CONFIG.format(api=api, rest=rest, grpc=grpc))
    with running(BUILD / "oip.toml", api) as process:
        yield Server("wasmind", f"http://127.0.0.1:{rest}", f"127.0.0.1:{grpc}", process.pid)


@contextlib.contextmanager
def triton() -> Iterator[Server]:
    """Triton with the same model. Raises RuntimeError where it cannot be installed."""
    import _pytest.outcomes

    from support import peers

    with tempfile.TemporaryDirectory() as place:
        try:
            running = peers.triton(Path(place), {"linear": (model(), {"x": [1, 4]}, {"y": [1, 4]})})
            peer = running.__enter__()
        except _pytest.outcomes.Skipped as reason:
            raise RuntimeError(str(reason)) from reason
        try:
            yield Server("Triton", peer.rest, peer.grpc.removeprefix("http://"), peer.process.pid)
        finally:
            running.__exit__(None, None, None)


def rest_json(url: str) -> Load:
    body = json.dumps({"inputs": [{**TENSOR, "data": [1, 2, 3, 4]}]}).encode()
    return _rest(url, body, {"Content-Type": "application/json"})


def rest_binary(url: str) -> Load:
    given = {**TENSOR, "parameters": {"binary_data_size": len(X)}}
    wanted = {"name": "y", "parameters": {"binary_data": True}}
    head = json.dumps({"inputs": [given], "outputs": [wanted]}).encode()
    return _rest(url, head + X, {"Inference-Header-Content-Length": str(len(head))})


def _rest(url: str, body: bytes, headers: dict[str, str]) -> Load:
    where = f"{url}/v2/models/linear/infer"
    request = urllib.request.Request(where, body, headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        if b"y" not in answer.read():
            raise RuntimeError(f"{url} does not answer as it should")
    return load(where, connections=CONNECTIONS, seconds=SECONDS, body=body, headers=headers)


def grpc(address: str) -> Load:
    from open_inference.grpc import protocol

    request = protocol.ModelInferRequest(model_name="linear", raw_input_contents=[X])
    request.inputs.add(**TENSOR)
    message = request.SerializeToString()
    asyncio.run(_check(address, message))
    return (_h2load if shutil.which("h2load") else _asyncio)(address, message)


async def _check(address: str, message: bytes) -> None:
    import grpc as library
    from open_inference.grpc import protocol

    async with library.aio.insecure_channel(address) as channel:
        answer = protocol.ModelInferResponse.FromString(await channel.unary_unary(INFER)(message))
    if answer.raw_output_contents[0] != struct.pack("<4f", 3, 5, 7, 9):
        raise RuntimeError(f"{address} does not answer as it should")


def _h2load(address: str, message: bytes) -> Load:
    with tempfile.NamedTemporaryFile("wb") as file:
        file.write(b"\0" + len(message).to_bytes(4, "big") + message)
        file.flush()
        words = ["h2load", "-t1", f"-c{CONNECTIONS}", "-m1", f"-D{round(SECONDS)}", "-d", file.name]
        words += ["-H", "content-type: application/grpc", "-H", "te: trailers", f"http://{address}{INFER}"]
        printed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    rate = re.search(r"finished in .*?, ([\d.]+) req/s", printed)
    failed = re.search(r"(\d+) failed", printed)
    mean = re.search(r"time for request:\s+\S+\s+\S+\s+([\d.]+)(us|ms)", printed)
    if not rate or not failed or not mean:
        raise RuntimeError(f"h2load printed no result:\n{printed}")
    milliseconds = float(mean[1]) / (1000 if mean[2] == "us" else 1)
    return Load(float(rate[1]), milliseconds, float("nan"), int(failed[1]))


def _asyncio(address: str, message: bytes) -> Load:
    async def run() -> Load:
        import grpc as library

        times: list[float] = []
        until = time.perf_counter() + SECONDS

        async def calls(call: library.aio.UnaryUnaryMultiCallable) -> None:
            while (began := time.perf_counter()) < until:
                await call(message)
                times.append(time.perf_counter() - began)

        async with library.aio.insecure_channel(address) as channel:
            call = channel.unary_unary(INFER)
            await asyncio.gather(*(calls(call) for _ in range(CONNECTIONS)))
        times.sort()
        p50, p99 = (times[int(len(times) * share)] * 1000 for share in (0.5, 0.99))
        return Load(len(times) / SECONDS, p50, p99, 0)

    return asyncio.run(run())


WAYS = {"REST, JSON": rest_json, "REST, binary": rest_binary, "gRPC": grpc}


def measure(servers: list[Server], name: str) -> dict[str, Best]:
    """One way at all servers, in turns: each one's least disturbed round."""
    found = {server.name: Best() for server in servers}
    for _ in range(ROUNDS):
        for server in servers:
            before = cpu(server.pid)
            seen = WAYS[name](server.grpc if name == "gRPC" else server.rest)
            used = (cpu(server.pid) - before) / (seen.rate * SECONDS) * 1e6
            best = found[server.name]
            best.rate, best.cpu_us = max(best.rate, seen.rate), min(best.cpu_us, used)
            best.failed += seen.failed
    return found


def cpu(pid: int) -> float:
    """Seconds of CPU that a process and its descendants have used."""
    parents, used = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        parents[int(path.parent.name)] = int(fields[1])
        used[int(path.parent.name)] = int(fields[11]) + int(fields[12])
    family, todo = set(), {pid}
    while todo:
        family |= todo
        todo = {child for child, parent in parents.items() if parent in todo}
    return sum(used.get(one, 0) for one in family) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    tool = "h2load" if shutil.which("h2load") else "an asyncio client"
    print(
        f"  a tiny model, {CONNECTIONS} connections; REST by {generator()}, gRPC by {tool}; best of {ROUNDS}"
    )
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(node())]
        try:
            servers.append(stack.enter_context(triton()))
        except RuntimeError as error:
            print(f"  Triton was not measured: {error}")
        for name in WAYS:
            found = measure(servers, name)
            words = [f"{who} {best.rate:6.0f}/s, {best.cpu_us:4.0f} us of CPU" for who, best in found.items()]
            if "Triton" in found:
                words.append(f"ratio {found['wasmind'].rate / found['Triton'].rate:.2f}")
            words += [f"{best.failed} failed at {who}" for who, best in found.items() if best.failed]
            print(f"  {name:13} {'   '.join(words)}", flush=True)


if __name__ == "__main__":
    main()
