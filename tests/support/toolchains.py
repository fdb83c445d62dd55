"""Components that real toolchains build, once per source; tests are skipped where a toolchain is missing."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.components import ROOT, tool

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCES = ROOT / "tests" / "guests" / "components"
WIT = ROOT / "tests" / "data" / "wit"
TOOLS = ROOT / "build" / "tools"
BUILT = ROOT / "build" / "test-guests"


def _kept(name: str, sources: tuple[Path, ...], make: Callable[[Path], None]) -> bytes:
    """What `make` writes to the path it is given, or wrote when the sources were the same."""
    digest = hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    path = BUILT / f"{name}-{digest}.component.wasm"
    if not path.exists():
        BUILT.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        make(part)
        part.rename(path)
    return path.read_bytes()


def _run(command: list[str], **environment: str) -> None:
    environment = {**os.environ, **environment}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=300, cwd="/"
    )
    assert done.returncode == 0, done.stdout + done.stderr


@cache
def python_text() -> bytes:
    """The world `text` in Python, by componentize-py."""
    return python("text", SOURCES / "text.wit", "text")


@cache
def javascript_text() -> bytes:
    """The world `text` in JavaScript, by jco and componentize-js."""
    return javascript("text", SOURCES / "text.wit", "text")


@cache
def c_text() -> bytes:
    """The world `text` in C, by ziglang and wasm-tools."""
    return c("text", SOURCES / "text.wit", "text")


@cache
def python(name: str, wit: Path, world: str) -> bytes:
    """A program in Python, by componentize-py; `wit` is a file or a directory with packages."""
    program = tool("componentize-py")
    source = SOURCES / f"{name}.py"

    def make(out: Path) -> None:
        base = [program, "-d", str(wit), "-w", world]
        _run([*base, "componentize", "-p", str(SOURCES), name, "-o", str(out)])

    return _kept(f"{name}-python", (*_files(wit), source), make)


@cache
def javascript(name: str, wit: Path, world: str) -> bytes:
    """A program in JavaScript, by jco and componentize-js."""
    modules = TOOLS / "js" / "node_modules"
    jco = modules / "@bytecodealliance" / "jco" / "dist" / "jco.js"
    if not shutil.which("node") or not jco.exists():
        pytest.skip("node or jco is not installed (see tests/guests/components/README.md)")
    source, preopen = SOURCES / f"{name}.js", SOURCES / "preopen.mjs"

    def make(out: Path) -> None:
        command = ["node", "--import", str(preopen), str(jco), "componentize", str(source)]
        command += ["--wit", str(wit), "--world-name", world, "-d", "all", "-o", str(out)]
        _run(command, NODE_MODULES=str(modules))

    return _kept(f"{name}-javascript", (*_files(wit), source, preopen), make)


@cache
def c(name: str, wit: Path, world: str) -> bytes:
    """A program in C whose calls are lowered by hand, by ziglang and wasm-tools."""
    source = SOURCES / f"{name}.c"

    def make(out: Path) -> None:
        core, embedded = out.with_suffix(".core"), out.with_suffix(".embedded")
        flags = ["-target", "wasm32-freestanding", "-O2", "-s", "-nostdlib", "-Wl,--no-entry"]
        _run([sys.executable, "-m", "ziglang", "cc", *flags, str(source), "-o", str(core)])
        wasm_tools = tool("wasm-tools")
        _run([wasm_tools, "component", "embed", str(wit), "-w", world, str(core), "-o", str(embedded)])
        _run([wasm_tools, "component", "new", str(embedded), "-o", str(out)])
        core.unlink()
        embedded.unlink()

    return _kept(f"{name}-c", (*_files(wit), source), make)


def _files(wit: Path) -> list[Path]:
    return sorted(wit.rglob("*.wit")) if wit.is_dir() else [wit]


@cache
def command() -> bytes:
    """The command `shout` as a component."""
    return adapted(SOURCES / "shout.c", ())


@cache
def adapted(source: Path, flags: tuple[str, ...]) -> bytes:
    """A command for WASI 0.1, made a component by wit-component with the preview 1 adapter that jco ships."""
    adapter = TOOLS / "js/node_modules/@bytecodealliance/jco/lib/wasi_snapshot_preview1.command.wasm"
    if not adapter.exists():
        pytest.skip("the preview 1 adapter is not there (see tests/guests/components/README.md)")

    def make(out: Path) -> None:
        core = out.with_suffix(".core")
        words = ["-target", "wasm32-wasi", "-O2", "-s", *flags, str(source), "-o", str(core)]
        _run([sys.executable, "-m", "ziglang", "cc", *words])
        adapt = f"wasi_snapshot_preview1={adapter}"
        _run([tool("wasm-tools"), "component", "new", str(core), "--adapt", adapt, "-o", str(out)])
        core.unlink()

    return _kept(f"{source.stem}-command", (source, adapter), make)
