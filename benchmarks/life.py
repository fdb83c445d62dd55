"""The life of models: batches beside single runs, more models than memory, a new version under full load.

    python -m benchmarks.life [--seconds 5] [--models 200] [--fit 50] [--requests 600]

The batched model and the unbatched one take turns. Models are asked for as in real life, a few of them often
and most of them seldom (Zipf).
"""

from __future__ import annotations

import argparse
import re
import statistics
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from benchmarks import node
from benchmarks.load import Load, generator, load
from wasmind.node.client import ask
from wasmind.node.status import NodeStatus

WIDTH = 512
HEAD = """
[node]
workers = {workers}
log_level = "warning"
ports = {{ functions = {port}, api = {api} }}
"""
FUNCTION = """
[functions.vector]
module = "vector.wasm"
route = "/vector/*"
models = [%s]
limits = {{ cpu_ms = 1000 }}
"""
BATCHING = """
[models.single]
path = "wide.onnx"

[models.batched]
path = "wide.onnx"
batch = {{ max_size = 32 }}
"""


def layers(seed: int, *widths: int) -> bytes:
    """Matrix products with ReLU between them, of f32 [N,512] to f32 [N,512]."""
    random = np.random.default_rng(seed)
    nodes, weights, last = [], [], "x"
    for index, (rows, columns) in enumerate(pairwise(widths)):
        values = (random.standard_normal((rows, columns)) / rows**0.5).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"w{index}"))
        nodes.append(helper.make_node("MatMul", [last, f"w{index}"], [f"h{index}"]))
        last = "y" if index == len(widths) - 2 else f"r{index}"
        nodes.append(helper.make_node("Relu", [f"h{index}"], [last]))
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", WIDTH])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return bytes(model.SerializeToString())


def status() -> NodeStatus:
    """How the node that is measured is."""
    return ask(node.BUILD / ".wasmind", "status")


def metric(name: str, labels: str = "") -> float:
    """A metric of the node, summed over its series with these labels."""
    text = urllib.request.urlopen(f"{status().api_url}/metrics", timeout=30).read().decode()
    return sum(
        float(value) for value in re.findall(rf"^{name}(?:{{.*{labels}.*}})? (\S+)$", text, re.MULTILINE)
    )


def batching(rounds: int, seconds: float) -> None:
    """Throughput at 32 connections with batches and without, and what batching costs without load."""
    (node.BUILD / "wide.onnx").write_bytes(layers(1, WIDTH, 2048, 2048, 2048, WIDTH))
    config = HEAD + BATCHING + FUNCTION % '"single", "batched"'
    with node.serve_configuration(config) as url:

        def measured(model: str, connections: int) -> Load:
            return load(f"{url}/vector/{model}", connections=connections, seconds=seconds)

        pairs = [(measured("single", 32), measured("batched", 32)) for _ in range(rounds)]
        quiet = [(measured("single", 1), measured("batched", 1)) for _ in range(rounds)]
        time.sleep(2.5)  # figures are written once a second
        of_batched = 'model="batched"'
        calls = metric("wasmind_inference_batch_size_count", of_batched)
        size = metric("wasmind_inference_batch_size_sum", of_batched) / calls
    single, batched = (statistics.median(one.rate for one in side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(b.rate / a.rate for a, b in pairs)
    print(f"  c=32 single {single:8.1f}/s, batched {batched:8.1f}/s: ratio {ratio:.2f}")
    p50 = statistics.median(one.p50_ms for one, _ in quiet)
    p99 = statistics.median(one.p99_ms for _, one in quiet)
    print(f"  c=1  single p50 {p50:.2f} ms, batched p99 {p99:.2f} ms: {p99 / p50:.2f} times")
    failed = sum(one.failed for pair in (*pairs, *quiet) for one in pair)
    print(f"  {failed} failed; a call shared its run with {size - 1:.1f} others on average", flush=True)


def thrash(models: int, fit: int, requests: int) -> None:
    """More models than the memory holds, each request answered."""
    names = [f"m{index}" for index in range(models)]
    for index, name in enumerate(names):
        (node.BUILD / f"{name}.onnx").write_bytes(layers(index, WIDTH, WIDTH))
    tables = "".join(f'\n[models.{name}]\npath = "{name}.onnx"\ndeadline_ms = 120_000\n' for name in names)
    function = FUNCTION % ", ".join(f'"{name}"' for name in names)
    with node.serve_configuration(HEAD + '\n[models.m0]\npath = "m0.onnx"\n' + FUNCTION % '"m0"'):
        each = status().models[0].memory or 0
    # Some room beside it: no two processes measure the same.
    budget = int(each * (fit + 0.5))
    config = HEAD.replace("workers", f"model_memory = {budget}\nworkers", 1) + tables + function
    with node.serve_configuration(config) as url:
        shares = 1 / np.arange(1, models + 1)
        order = np.random.default_rng(3).choice(names, requests, p=shares / shares.sum())
        asked = [*np.random.default_rng(4).permutation(names), *order]
        waits, failed = [], 0

        def one(name: str) -> None:
            nonlocal failed
            began = time.perf_counter()
            try:
                with urllib.request.urlopen(f"{url}/vector/{name}", timeout=120) as answer:
                    failed += len(answer.read()) != 4
            except OSError:
                failed += 1
            waits.append(time.perf_counter() - began)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(one, asked))
        time.sleep(2.5)  # figures are written once a second
        misses, evictions = (
            metric("wasmind_model_cache_misses_total"),
            metric("wasmind_model_evictions_total"),
        )
        loads = metric("wasmind_model_load_duration_seconds_count")
        took = metric("wasmind_model_load_duration_seconds_sum") / max(1.0, loads)
        here = sum(model.state == "ready" for model in status().models)
    waits.sort()
    print(
        f"  {models} models of 1 MB in {budget >> 20} MiB: each {each >> 20} MiB, {here} in memory at the end"
    )
    print(f"  {len(asked)} requests, {failed} failed, hit ratio {1 - misses / len(asked):.2f}", end="")
    print(f" (the first {models} ask for each once)")
    print(f"  {loads:.0f} loads of {took:.2f} s on average, {evictions:.0f} evictions", end="")
    print(f"; a request took {waits[len(waits) // 2] * 1000:.0f} ms (p50), {waits[-1]:.1f} s at most")


def swap(seconds: float) -> None:
    """A version after another takes over while the node is under full load."""
    table = '\n[models.net.versions.%d]\npath = "v%d.onnx"\n'
    for number in range(1, 8):
        (node.BUILD / f"v{number}.onnx").write_bytes(layers(number, WIDTH, WIDTH))
    path = node.BUILD / "wasmind.toml"
    with node.serve_configuration(HEAD + table % (1, 1) + FUNCTION % '"net"') as url:
        before = load(f"{url}/vector/net", connections=32, seconds=seconds)
        during: list[Load] = []
        loading = threading.Thread(
            target=lambda: during.append(load(f"{url}/vector/net", connections=32, seconds=4 * seconds))
        )
        loading.start()
        times = []
        number = 1
        while loading.is_alive() and number < 7:
            number += 1
            _replace(path, table % (number - 1, number - 1), table % (number, number))
            began = time.perf_counter()
            ask(node.BUILD / ".wasmind", "reload")
            times.append(time.perf_counter() - began)
            time.sleep(seconds / 3)
        loading.join()
        after = load(f"{url}/vector/net", connections=32, seconds=seconds)
    for when, found in (("before", before), ("during", during[0]), ("after", after)):
        print(
            f"  {when:<6} {found.rate:8.0f}/s   p50 {found.p50_ms:7.2f} ms   p99 {found.p99_ms:7.2f} ms",
            end="",
        )
        print(f"   {found.failed} failed")
    print(f"  {number - 1} new versions, each warm after {statistics.median(times):.2f} s", flush=True)


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--fit", type=int, default=50)
    parser.add_argument("--requests", type=int, default=600)
    parser.add_argument("--only", choices=("batching", "thrash", "swap"))
    arguments = parser.parse_args()
    node.BUILD.mkdir(parents=True, exist_ok=True)
    node.command(Path(__file__).parent / "guests" / "vector.c", node.BUILD / "vector.wasm")
    print(f"Load comes from {generator()} on the same cores")
    if arguments.only in (None, "batching"):
        batching(arguments.rounds, arguments.seconds)
    if arguments.only in (None, "thrash"):
        thrash(arguments.models, arguments.fit, arguments.requests)
    if arguments.only in (None, "swap"):
        swap(arguments.seconds)


if __name__ == "__main__":
    main()
