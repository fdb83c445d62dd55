"""Compiling a program at deploy time: inspected first, then compiled by a child process under limits, then
kept."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from wasmind.errors import NotWasm, ProgramError, ProgramTooLarge
from wasmind.sandbox import ffi, settings
from wasmind.sandbox.artifact import Artifact, ArtifactCache, machine
from wasmind.sandbox.binary import outline
from wasmind.sandbox.imports import check_imports
from wasmind.sandbox.trap import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wasmind.sandbox.binary import Outline
    from wasmind.sandbox.interface import Interface


class CompileLimits(msgspec.Struct, frozen=True):
    """What compiling one program may use: the program's size, and the compiler's memory (bytes) and times
    (seconds)."""

    package: int = 100_000_000
    memory: int = 4 << 30
    cpu_s: float = 120.0
    wall_s: float = 120.0
    stack: int = 1 << 20


_MOST_CAUSE = 500
DEFAULT_LIMITS = CompileLimits()


async def compile_program(
    wasm: bytes | Path,
    cache: Path,
    interfaces: Iterable[Interface] | None,
    limits: CompileLimits = DEFAULT_LIMITS,
) -> Artifact:
    """Compile a core module, or find it compiled. Cancelling ends the compiler.

    Without `interfaces` its imports are not looked at: for modules that are linked with others.

    Raises ProgramError: NotWasm, ProgramTooLarge, UnsupportedFeature or UnknownImport, which say why it is
    refused.
    """
    work = _Compilation(wasm, cache, None if interfaces is None else tuple(interfaces), limits)
    try:
        return await asyncio.to_thread(work.run)
    except asyncio.CancelledError:
        work.kill()
        raise


def compile_program_now(
    wasm: bytes | Path,
    cache: Path,
    interfaces: Iterable[Interface] | None,
    limits: CompileLimits = DEFAULT_LIMITS,
) -> Artifact:
    """Do as `compile_program`, for callers without an event loop."""
    return _Compilation(wasm, cache, None if interfaces is None else tuple(interfaces), limits).run()


class _Compilation:
    """One program on its way to an artifact."""

    def __init__(
        self, wasm: bytes | Path, cache: Path, interfaces: tuple[Interface, ...] | None, limits: CompileLimits
    ) -> None:
        self._wasm = wasm
        self._cache = ArtifactCache(cache)
        self._interfaces = interfaces
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False

    def run(self) -> Artifact:
        wasm = self._read()
        found = outline(wasm)
        if self._interfaces is not None:
            check_imports(found, self._interfaces)
        _check_sizes(found)
        self._cache.prepare()
        digest = hashlib.sha256(wasm).hexdigest()
        profile = settings.room(settings.FEWEST_INSTANCES).profile
        target = f"{machine()} {settings.describe(profile, self._limits.stack)}"
        key = f"{digest[:32]}-{hashlib.sha256(target.encode()).hexdigest()[:16]}"
        artifact = self._cache.find(key)
        if artifact is not None:
            return artifact
        handle, temporary = self._cache.temporary()
        try:
            with open(handle, "w+b") as code:
                self._compile(wasm, profile, code.fileno())
                code.seek(0)
                code_digest = hashlib.file_digest(code, "sha256").hexdigest()
                code_size = os.fstat(code.fileno()).st_size
            made = Artifact(
                path=temporary,
                digest=digest,
                size=len(wasm),
                profile=profile.name,
                stack=self._limits.stack,
                outline=found,
                code_size=code_size,
                code_digest=code_digest,
            )
            return self._cache.keep(key, temporary, made)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()

    def kill(self) -> None:
        """End the compiler, now or as soon as it starts."""
        self._killed = True
        if self._process is not None:
            self._process.kill()

    def _read(self) -> bytes:
        size = len(self._wasm) if isinstance(self._wasm, bytes) else _size(self._wasm)
        if size > self._limits.package:
            raise ProgramTooLarge(
                f"the program has {size:,} bytes",
                cause=f"the limit is {self._limits.package:,}",
                remedy="strip debug information (wasm-strip, -s), or raise `limits.package`",
            )
        return self._wasm if isinstance(self._wasm, bytes) else self._wasm.read_bytes()

    def _compile(self, wasm: bytes, profile: settings.Profile, code: int) -> None:
        limits = self._limits
        command = [sys.executable, "-P", "-s", "-m", "wasmind.sandbox.compile_worker", profile.name]
        command += [str(n) for n in (limits.stack, limits.memory, max(1, int(limits.cpu_s + 0.999)))]
        with tempfile.TemporaryFile() as source:
            source.write(wasm)
            source.seek(0)
            self._process = subprocess.Popen(
                command,
                stdin=source,
                stdout=code,
                stderr=subprocess.PIPE,
                env=_environment(),
                close_fds=True,
            )
            if self._killed:
                self._process.kill()
            try:
                _, said = self._process.communicate(timeout=limits.wall_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.communicate()
                raise ProgramTooLarge(
                    "compiling the program took too long",
                    cause=f"it was stopped after {limits.wall_s:g} s",
                    remedy="make the program smaller, or its largest functions",
                ) from None
        self._judge(self._process.returncode, said.decode("utf-8", "replace"))

    def _judge(self, status: int, said: str) -> None:
        """Raise what the compiler's end means."""
        if status == 0:
            return
        if status == 1 and "Traceback" not in said:
            chain = [
                line.strip() for line in said.splitlines() if line.strip() and line.strip() != "Caused by:"
            ]
            raise NotWasm(
                "the module is not valid, or uses a feature that is not offered",
                cause=printable(": ".join(chain), _MOST_CAUSE),
            )
        if status in (-signal.SIGXCPU, -signal.SIGKILL):
            raise ProgramTooLarge(
                "compiling the program took too long",
                cause=f"it used {self._limits.cpu_s:g} s of CPU, or the system ended it",
                remedy="make the program smaller, or its largest functions",
            )
        if status == -signal.SIGABRT or "MemoryError" in said or "allocat" in said:
            raise ProgramTooLarge(
                "compiling the program took too much memory",
                cause=f"more than {self._limits.memory >> 20} MiB",
                remedy="make the program smaller, or its largest functions",
            )
        raise ProgramError("the compiler failed", cause=f"status {status}: {printable(said.strip()[-100:])}")


def _environment() -> dict[str, str]:
    """The compiler's environment: where Python and its packages are, and nothing of this process's
    secrets."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    places = (Path(__file__).parents[2], ffi.library_path().parents[2])
    return kept | {"RUST_BACKTRACE": "0", "PYTHONPATH": os.pathsep.join(map(str, places))}


def _check_sizes(found: Outline) -> None:
    """Raise ProgramTooLarge for what no engine here has room for, whatever a function's limits are."""
    largest = max(found.tables, default=0)
    for what, has, most in (
        ("memories", len(found.memories), settings.MOST_MEMORIES),
        ("tables", len(found.tables), settings.MOST_TABLES),
        ("elements in a table", largest, settings.TABLE_ELEMENTS),
    ):
        if has > most:
            raise ProgramTooLarge(f"the program begins with {has:,} {what}", cause=f"the most is {most:,}")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise ProgramError(f"cannot read {path}", cause=error.strerror) from error
