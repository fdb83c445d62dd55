"""Components beside `wasmtime serve` with a fresh instance per request and programs compiled ahead.

    python -m benchmarks.components [GUEST]... [--seconds 3] [--rounds 3]

GUESTs are hello, python, javascript, infer, python-infer, tensor, first; all of them otherwise. The same
component runs on both sides. Ours and the peer's take turns, so that a noisy machine disturbs both alike; a
ratio is the rounds' median. The peer runs as it comes, and tuned: pooled instances, memory kept resident.

Guests in Python and JavaScript need their toolchains (tests/guests/components/README.md) and are left out
without them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
from onnx import TensorProto, helper

from benchmarks import node
from benchmarks.load import Load, generator, load
from benchmarks.peer import wasmtime

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent / "guests"
WIT = wasmtime.ROOT / "tests" / "data" / "wit"
TOOLS = wasmtime.ROOT / "build" / "tools"
TUNED = [
    word
    for option in (
        "pooling-allocator=y",
        "pooling-total-core-instances=2000",
        "pooling-total-component-instances=1000",
        "pooling-total-memories=1000",
        "pooling-total-tables=2000",
        "pooling-max-tables-per-module=4",
        "pooling-table-elements=100000",
        "pooling-memory-keep-resident=262144",
        "pooling-table-keep-resident=65536",
        "pooling-async-stack-keep-resident=65536",
        "pooling-pagemap-scan=auto",
    )
    for word in ("-O", option)
]
CONFIG = """
[node]
workers = {{workers}}
log_level = "warning"
ports = {{{{ functions = {{port}}, api = {{api}} }}}}

[models.linear]
path = "linear.onnx"

[models.sum]
path = "sum.onnx"

[functions.f]
module = "{program}"
route = "/*"
models = ["linear", "sum"]
limits = {{{{ cpu_ms = 1000 }}}}
{more}
"""
CORE = """
[functions.core]
module = "sum.wasm"
route = "/core"
models = ["sum"]
"""


class Guest:
    """A component to measure: how it is built, whether it calls a model, and what is to be reached."""

    def __init__(
        self, build: Callable[[], Path], *, nn: bool, alone: float, many: float, tuned: float
    ) -> None:
        """`alone`: of the peer's rate at c=1; `many` and `tuned`: at c=32, as it comes and tuned."""
        self.build = build
        self.nn = nn
        self.alone, self.many, self.tuned = alone, many, tuned


def python(name: str, world: str) -> Path:
    """A component in Python, by componentize-py. Raises FileNotFoundError without it."""
    program = shutil.which("componentize-py") or str(TOOLS / "componentize" / "bin" / "componentize-py")
    out = node.BUILD / f"python-{name}.wasm"
    source = HERE / f"{name}.py"
    if not out.exists() or out.stat().st_mtime < source.stat().st_mtime:
        words = ["-d", str(WIT), "-w", world, "componentize", "-p", str(HERE), name, "-o", str(out)]
        subprocess.run([program, *words], check=True, stdout=subprocess.DEVNULL)
    return out


def javascript(name: str, world: str) -> Path:
    """A component in JavaScript, by jco and componentize-js. Raises FileNotFoundError without them."""
    modules = TOOLS / "js" / "node_modules"
    jco = modules / "@bytecodealliance" / "jco" / "dist" / "jco.js"
    out, source = node.BUILD / f"javascript-{name}.wasm", HERE / f"{name}.js"
    if not out.exists() or out.stat().st_mtime < source.stat().st_mtime:
        if not jco.exists():
            raise FileNotFoundError(jco)
        preopen = wasmtime.ROOT / "tests" / "guests" / "components" / "preopen.mjs"
        words = ["--import", str(preopen), str(jco), "componentize", str(source), "--wit", str(WIT)]
        words += ["--world-name", world, "-d", "all", "-o", str(out)]
        environment = {**os.environ, "NODE_MODULES": str(modules)}
        subprocess.run(["node", *words], check=True, stdout=subprocess.DEVNULL, env=environment)
    return out


GUESTS = {
    "hello": Guest(lambda: wasmtime.component("hello"), nn=False, alone=0.8, many=1.2, tuned=1.0),
    "python": Guest(lambda: python("hello", "http"), nn=False, alone=0.8, many=3.0, tuned=2.0),
    "javascript": Guest(lambda: javascript("hello", "http"), nn=False, alone=0.8, many=2.0, tuned=1.0),
    "infer": Guest(lambda: wasmtime.component("infer"), nn=True, alone=100, many=100, tuned=100),
    "python-infer": Guest(lambda: python("infer", "http-nn"), nn=True, alone=10, many=10, tuned=10),
}


def compare(name: str, guest: Guest, rounds: int, seconds: float) -> None:
    """Print both rates, and their ratios."""
    program = guest.build()
    text = CONFIG.format(program=program, more="")
    compile_ahead(text)
    with ExitStack() as stack:
        urls = {
            "wasmind": stack.enter_context(node.serve_configuration(text)),
            "wasmtime": stack.enter_context(wasmtime.serve_component(program, nn=guest.nn)),
            "tuned": stack.enter_context(wasmtime.serve_component(program, *TUNED, nn=guest.nn)),
        }
        for url in urls.values():
            load(url, connections=4, seconds=1)
        for connections in (1, 32):
            found: dict[str, list[Load]] = {who: [] for who in urls}
            for _ in range(rounds):
                for who, url in urls.items():
                    found[who].append(load(url, connections=connections, seconds=seconds))
            report(name, connections, found, guest)


def report(name: str, connections: int, found: dict[str, list[Load]], guest: Guest) -> None:
    """Print what one number of connections gave."""
    for who, loads in found.items():
        rate, p50, p99 = (
            statistics.median(getattr(one, key) for one in loads) for key in ("rate", "p50_ms", "p99_ms")
        )
        failed = sum(one.failed for one in loads)
        line = (
            f"  {name:<12} c={connections:<3} {who:<9} {rate:9.0f}/s   p50 {p50:8.2f} ms   p99 {p99:8.2f} ms"
        )
        print(line + (f"   {failed} failed" if failed else ""))
    ours = found["wasmind"]
    for peer in ("wasmtime", "tuned"):
        ratios = [a.rate / b.rate for a, b in zip(ours, found[peer], strict=True) if b.rate]
        wanted = guest.tuned if peer == "tuned" else guest.many
        goal = (
            f"   to reach: {guest.alone if connections == 1 else wanted:g}"
            if peer != "tuned" or connections > 1
            else ""
        )
        print(
            f"  {name:<12} c={connections:<3} of {peer:<9} {statistics.median(ratios or [0]):.2f}{goal}",
            flush=True,
        )


def tensor(rounds: int, seconds: float) -> None:
    """600 KB into a model by the WIT API and by the core ABI, both from C."""
    (node.BUILD / "sum.onnx").write_bytes(sum_model())
    node.command(HERE / "sum.c", node.BUILD / "sum.wasm")
    program = wasmtime.component("sum")
    with node.serve_configuration(CONFIG.format(program=program, more=CORE)) as url:
        pairs = []
        for _ in range(rounds * 2):
            wit, core = (load(url + path, connections=1, seconds=seconds) for path in ("/wit", "/core"))
            pairs.append((wit.p50_ms, core.p50_ms, wit.failed + core.failed))
    wit, core, _ = (statistics.median(column) for column in zip(*pairs, strict=True))
    added = statistics.median(a - b for a, b, _ in pairs)
    failed = sum(each for _, _, each in pairs)
    print(
        f"  600 KB tensor: WIT {wit:.2f} ms, core {core:.2f} ms: {added:+.2f} ms   to reach: at most 1",
        end="",
    )
    print(f"   {failed} failed" if failed else "", flush=True)


def first(rounds: int, _seconds: float) -> None:
    """The first request to a compiled Python guest after `serve` is ready."""
    text = CONFIG.format(program=python("hello", "http"), more="")
    compile_ahead(text)
    times = []
    for _ in range(max(3, rounds)):
        with node.serve_configuration(text) as url:
            began = time.perf_counter()
            urllib.request.urlopen(url).close()
            times.append((time.perf_counter() - began) * 1e3)
    shown = ", ".join(f"{each:.0f}" for each in times)
    print(f"  first request to a Python guest: {shown} ms   to reach: 100", flush=True)


def sum_model() -> bytes:
    """y = the sum of x, for f32 [1,3,224,224]."""
    graph = helper.make_graph(
        [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)],
        "sum",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 224, 224])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model.SerializeToString()


def compile_ahead(text: str) -> None:
    """Compile what a configuration names."""
    (node.BUILD / "wasmind.toml").write_text(text.format(workers=2, port=0, api=0))
    words = [sys.executable, "-m", "wasmind", "compile", "-c", str(node.BUILD / "wasmind.toml")]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("guests", nargs="*")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    node.BUILD.mkdir(parents=True, exist_ok=True)
    shutil.copy(wasmtime.ROOT / "examples" / "double" / "linear.onnx", node.BUILD)
    (node.BUILD / "sum.onnx").write_bytes(sum_model())
    print(f"Components beside wasmtime serve; the load comes from {generator()} on the same cores")
    for name in arguments.guests or [*GUESTS, "tensor", "first"]:
        try:
            if name in GUESTS:
                compare(name, GUESTS[name], arguments.rounds, arguments.seconds)
            else:
                {"tensor": tensor, "first": first}[name](arguments.rounds, arguments.seconds)
        except FileNotFoundError as missing:
            print(f"  {name:<12} left out: {missing.filename} is not installed", flush=True)


if __name__ == "__main__":
    main()
