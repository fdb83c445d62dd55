"""Guests built from their sources, once per source, and run."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from support.backend import FixedModels
from wasmind.config import Limits
from wasmind.guest_api.command import INTERFACES
from wasmind.guest_api.host import CommandHost
from wasmind.guest_api.stdio import BytesSink, BytesSource
from wasmind.guest_api.wasi.state import Wasi
from wasmind.nn.session import Session
from wasmind.sandbox import Guest, Program, compile_program_now, from_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wasmind.guest_api.stdio import Sink, Source
    from wasmind.sandbox import Engine, Interface, Memory

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "tests" / "guests"
BUILT = ROOT / "build" / "test-guests"


@cache
def build_c(source: Path) -> bytes:
    """Compile a C guest with ziglang; what was built before is found again by its content."""
    header = ROOT / "guests" / "c" / "wasi_nn.h"
    flags = ("-target", "wasm32-wasi", "-O2", "-s", "-I", str(header.parent))
    digest = hashlib.sha256(b"\0".join((source.read_bytes(), header.read_bytes(), " ".join(flags).encode())))
    built = BUILT / f"{source.stem}-{digest.hexdigest()[:16]}.wasm"
    if not built.exists():
        BUILT.mkdir(parents=True, exist_ok=True)
        part = built.with_suffix(f".{os.getpid()}")
        command = [sys.executable, "-m", "ziglang", "cc", *flags, str(source), "-o", str(part)]
        # Not from within the environment: there zig takes its libraries for others, and builds them anew.
        subprocess.run(command, check=True, capture_output=True, text=True, cwd="/")
        part.rename(built)
    return built.read_bytes()


def build(name: str) -> bytes:
    """A guest of tests/guests by its file's name."""
    source = SOURCES / name
    return from_text(source.read_text()) if source.suffix == ".wat" else build_c(source)


def load(engine: Engine, wasm: bytes) -> Program:
    """Compile a program for commands, and map it."""
    return Program.load(engine, compile_program_now(wasm, BUILT / "artifacts", INTERFACES), INTERFACES)


def door(interface: Interface, memory: str = '(memory (export "memory") 4 64)') -> bytes:
    """A guest that exports each function of an interface under its own name, and does nothing else."""
    imports, exports = [], []
    for host in interface:
        kinds = host.signature
        parameters = "".join(f" (param {kind})" for kind in kinds.parameters)
        results = "".join(f" (result {kind})" for kind in kinds.results)
        values = " ".join(f"(local.get {at})" for at in range(len(kinds.parameters)))
        imports.append(f'(import "{host.module}" "{host.name}" (func ${host.name}{parameters}{results}))')
        exports.append(f'(func (export "{host.name}"){parameters}{results} (call ${host.name} {values}))')
    return from_text(f"(module {' '.join(imports)} {memory} {' '.join(exports)})")


class Run:
    """One command's run, with everything it wrote."""

    def __init__(
        self,
        program: Program,
        models: FixedModels | None = None,
        *,
        stdin: bytes | Source = b"",
        stdout: Sink | None = None,
        args: Sequence[str] = ("guest",),
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        tenant: str = "default",
    ) -> None:
        self.limits = limits or Limits(cpu_ms=10_000)
        self.notes: list[str] = []
        self.stdout, self.stderr = BytesSink(), BytesSink()
        wasi = Wasi(
            BytesSource(stdin) if isinstance(stdin, bytes) else stdin,
            stdout or self.stdout,
            self.stderr,
            [arg.encode() for arg in args],
            lambda: [f"{name}={value}".encode() for name, value in (env or {}).items()],
        )
        self.session = Session(models or FixedModels(), self.limits, tenant)
        self.guest = Guest(program, self.limits, CommandHost(wasi, self.session, self.notes.append))

    async def run(self) -> Run:
        """Run `_start` to its end. Raises as `Guest.run`."""
        try:
            await self.guest.run("_start")
        finally:
            self.guest.close()
            self.guest.host.close()
        return self

    async def start(self) -> Run:
        """Instantiate, for calling exports one by one."""
        await self.guest.start()
        return self

    async def call(self, export: str, *values: int) -> int:
        """Call an export with one result, an i32."""
        (result,) = await self.guest.call(export, *values)
        return int(result)

    def close(self) -> None:
        """End it."""
        self.guest.close()
        self.guest.host.close()

    async def __aenter__(self) -> Run:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        self.close()

    @property
    def memory(self) -> Memory:
        """The guest's memory, for tests to write what a guest would have."""
        return self.guest.memory

    @property
    def text(self) -> str:
        """What it printed."""
        return self.stdout.value.decode()
