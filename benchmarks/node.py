"""A node to measure: `wasmind serve` on functions built here, on free ports."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peer.wasmtime import ROOT, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

BUILD = ROOT / "build" / "benchmarks"
CONFIG = """
[node]
workers = {workers}
log_level = "warning"
ports = {{ functions = {port}, api = {api} }}

[models.linear]
path = "linear.onnx"

[models.classifier]
path = "classifier.onnx"
instances = 2

[functions.hello]
module = "hello.wasm"
route = "/hello"

[functions.infer]
module = "infer.wasm"
route = "/infer"
models = ["linear"]

[functions.classify]
module = "classify.wasm"
route = "/classify"
models = ["classifier"]
"""
_SOURCES = {
    "hello": ROOT / "examples" / "hello" / "hello.c",
    "infer": Path(__file__).parent / "guests" / "infer.c",
}


def prepare() -> None:
    """Build the functions and models to measure, once."""
    BUILD.mkdir(parents=True, exist_ok=True)
    for name, source in _SOURCES.items():
        command(source, BUILD / f"{name}.wasm")
    shutil.copy(ROOT / "examples" / "double" / "linear.onnx", BUILD)
    from wasmind.demo import prepare as demo

    prepared = demo.prepare(BUILD / "demo")
    shutil.copy(prepared.model, BUILD / "classifier.onnx")
    shutil.copy(demo.MODULE, BUILD / "classify.wasm")


def command(source: Path, out: Path) -> None:
    """Build a C program into a WASI command, if it is newer than what was built."""
    if out.exists() and out.stat().st_mtime > source.stat().st_mtime:
        return
    zig = [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-wasi", "-O2", "-s"]
    words = ["-Wl,-z,stack-size=65536", "-I", str(ROOT / "guests" / "c"), str(source), "-o", str(out)]
    subprocess.run([*zig, *words], check=True, cwd="/")


@contextlib.contextmanager
def serve(workers: int = 2) -> Iterator[str]:
    """Serve `hello`, `infer` and `classify` until the block ends; yields the functions' base URL."""
    with serve_configuration(CONFIG, workers) as url:
        yield url


@contextlib.contextmanager
def serve_configuration(text: str, workers: int = 2) -> Iterator[str]:
    """Serve a configuration whose files are in BUILD; `{workers}`, `{port}` and `{api}` are filled in."""
    port, api = free_port(), free_port()
    configuration = BUILD / "wasmind.toml"
    configuration.write_text(text.format(workers=workers, port=port, api=api))
    with running(configuration, api):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def running(configuration: Path, api: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a node until the block ends, its log beside its configuration; yields its supervisor."""
    words = [sys.executable, "-m", "wasmind", "serve", "-c", str(configuration)]
    with configuration.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
        try:
            await_ready(api, process)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def await_ready(api: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(f"the node ended with {process.returncode}; see its log in {BUILD}")
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{api}/readyz", timeout=1).close()
            return
        time.sleep(0.1)
    raise TimeoutError(f"the node was not ready within a minute; see its log in {BUILD}")
