"""Edge workers as processes, with the test in the supervisor's place."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import socket
import sys
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from support.guests import BUILT, build
from wasmind.config import Limits
from wasmind.guest_api.command import INTERFACES
from wasmind.guest_api.program import compile_function_now
from wasmind.node.channel import open_in_supervisor
from wasmind.node.messages import (
    Applied,
    Drain,
    Drained,
    FromEdge,
    FunctionEntry,
    Listening,
    ModelEntry,
    NodeEntry,
    Snapshot,
    Start,
    Stats,
    ToEdge,
)
from wasmind.sandbox import CompileLimits, compile_program_now

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

PATIENCE_S = 20.0


def function(name: str = "f", guest: str = "http.c", **settings: Any) -> FunctionEntry:
    """A function that runs a guest of tests/guests; `settings` are of FunctionEntry."""
    artifact = compile_program_now(build(guest), BUILT / "artifacts", INTERFACES)
    chosen = {
        "tenant": "default",
        "routes": (f"/{name}/*",),
        "limits": Limits(cpu_ms=2_000, wall_ms=10_000),
    } | settings
    return FunctionEntry(name=name, digest=artifact.digest, artifact=str(artifact.path), **chosen)


def component(name: str, wasm: bytes, **settings: Any) -> FunctionEntry:
    """A function that is a component."""
    program = BUILT / f"{hashlib.sha256(wasm).hexdigest()[:16]}.served.wasm"
    if not program.exists():
        part = program.with_suffix(f".{os.getpid()}")
        part.write_bytes(wasm)
        part.rename(program)
    compiled = compile_function_now(program, BUILT / "artifacts", CompileLimits())
    chosen = {
        "tenant": "default",
        "routes": (f"/{name}/*",),
        "limits": Limits(cpu_ms=2_000, wall_ms=10_000),
    } | settings
    return FunctionEntry(
        name=name, digest=compiled.digest, artifact=str(compiled.path), kind=compiled.kind, **chosen
    )


def snapshot(
    *functions: FunctionEntry,
    generation: int = 1,
    dev: bool = False,
    models: tuple[ModelEntry, ...] = (),
    **node: Any,
) -> Snapshot:
    """A snapshot; `node` is settings of NodeEntry."""
    chosen = {
        "concurrency": 2_000,
        "drain_ms": 5_000.0,
        "header_timeout_ms": 2_000.0,
        "tick_ms": 1.0,
        "log": "json",
        "log_level": "info",
    } | node
    return Snapshot(
        generation=generation, dev=dev, node=NodeEntry(**chosen), functions=functions, models=models
    )


def listening_socket() -> socket.socket:
    """A socket as the supervisor makes it for one worker."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(4096)
    return listener


class EdgeProcess:
    """One running edge worker. Made by `edge`."""

    def __init__(self, listener: socket.socket, directory: Path) -> None:
        self.listener = listener
        self.port: int = listener.getsockname()[1]
        self.directory = directory
        self.told: list[FromEdge] = []
        self._news = asyncio.Condition()
        self._log = directory / "log"

    async def start(self, first: Snapshot, index: int = 0) -> None:
        """Start it and wait until it listens."""
        (self.directory / "metrics").mkdir(exist_ok=True)
        ours, theirs = socket.socketpair()
        with theirs, self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "wasmind.edge",
                str(theirs.fileno()),
                pass_fds=(theirs.fileno(), self.listener.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                stderr=log,
            )
        self.channel = await open_in_supervisor(ours)
        self._reading = asyncio.create_task(self._read())
        self.channel.send(
            Start(
                index=index,
                listen_fd=self.listener.fileno(),
                host="127.0.0.1",
                port=self.port,
                state_dir=str(self.directory),
                run_dir=str(self.directory),
            )
        )
        self.channel.send(first)
        listening = asyncio.create_task(self.until(lambda: self.has(Listening)))
        await asyncio.wait({listening, self._reading}, return_when=asyncio.FIRST_COMPLETED)
        if self._reading.done():
            listening.cancel()
            raise AssertionError(self.log())
        await listening

    async def _read(self) -> None:
        async for message in self.channel.messages():
            async with self._news:
                self.told.append(message)
                self._news.notify_all()

    def send(self, message: ToEdge) -> None:
        """Tell it something."""
        self.channel.send(message)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until what it has told makes `holds` true."""
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(holds)

    def has(self, kind: type[Any]) -> bool:
        """Whether it has told one of these."""
        return any(isinstance(message, kind) for message in self.told)

    def all(self, kind: type[Any]) -> list[Any]:
        """All of these that it has told."""
        return [message for message in self.told if isinstance(message, kind)]

    async def apply(self, newer: Snapshot) -> Applied:
        """Give it a newer snapshot; what it answers."""
        before = len(self.all(Applied))
        self.send(newer)
        await self.until(lambda: len(self.all(Applied)) > before)
        applied: Applied = self.all(Applied)[-1]
        return applied

    async def drain(self, deadline_ms: float = 5_000) -> Drained:
        """Let it end; what it says."""
        self.send(Drain(deadline_ms=deadline_ms))
        await self.until(lambda: self.has(Drained))
        await self.ended()
        drained: Drained = self.all(Drained)[-1]
        return drained

    async def ended(self) -> int:
        """Wait for its end; its exit status."""
        return await asyncio.wait_for(self.process.wait(), PATIENCE_S)

    async def close(self) -> None:
        """End it, whatever it does."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
            await self.process.wait()
        await self.channel.close()
        self._reading.cancel()
        await asyncio.wait({self._reading})

    @property
    def stats(self) -> Stats:
        """What it told last about itself."""
        told: list[Stats] = self.all(Stats)
        return told[-1] if told else Stats(generation=0, requests=0, running=0, guests=0)

    def log(self) -> str:
        """All that it logged."""
        return self._log.read_text()

    def records(self, request_id: str) -> list[dict[str, Any]]:
        """What it logged about one request."""
        lines = [line for line in self.log().splitlines() if line.startswith("{") and line.endswith("}")]
        return [record for record in map(json.loads, lines) if record.get("request_id") == request_id]

    def memory(self) -> int:
        """Its resident bytes."""
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self) -> int:
        """How many descriptors it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


@asynccontextmanager
async def edge(first: Snapshot, directory: Path) -> AsyncIterator[EdgeProcess]:
    """A running edge worker that serves `first`."""
    with listening_socket() as listener:
        process = EdgeProcess(listener, directory)
        await process.start(first)
        try:
            yield process
        finally:
            await process.close()


class SharedEdge:
    """An edge worker for many tests: it lives in a thread with an event loop of its own."""

    def __init__(self, first: Snapshot, directory: Path) -> None:
        self._first = first
        self._directory = directory
        self._ready = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._live(),))

    async def _live(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with edge(self._first, self._directory) as self.process:
                self._ready.set()
                await self._end.wait()
        finally:
            self._ready.set()

    def __enter__(self) -> EdgeProcess:
        self._thread.start()
        self._ready.wait()
        return self.process

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
