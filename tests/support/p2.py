"""Guests, sources and sinks for the host functions of WASI 0.2, called without a guest's code."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from wasmind.guest_api.stdio import BytesSink, BytesSource
from wasmind.guest_api.wasi.state import Wasi


class SlowSource:
    """A source that gives what is put into it, when it is."""

    terminal = False

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.ended = False
        self.error: Exception | None = None
        self.arrived = asyncio.Event()
        self.waits = 0

    def put(self, part: bytes) -> None:
        self.parts.append(part)
        self.arrived.set()

    def end(self) -> None:
        self.ended = True
        self.arrived.set()

    def fail(self, error: Exception) -> None:
        self.error = error
        self.arrived.set()

    @property
    def ready(self) -> bool:
        return bool(self.parts) or self.ended

    def take(self, limit: int) -> bytes | None:
        if not self.parts:
            return b"" if self.ended else None
        part, rest = self.parts[0][:limit], self.parts[0][limit:]
        self.parts[:1] = [rest] if rest else []
        return part

    async def wait(self) -> None:
        self.waits += 1
        while not self.ready:
            if self.error is not None:
                raise self.error
            await self.arrived.wait()
            self.arrived.clear()


class SlowSink:
    """A sink whose reader takes nothing until `release`."""

    terminal = False

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.flushes = 0
        self.error: Exception | None = None
        self.gate = asyncio.Event()

    def write(self, data: bytes) -> Any:
        self.written.append(data)
        if self.error is not None and self.gate.is_set():
            raise self.error
        return self._wait()

    async def _wait(self) -> None:
        await self.gate.wait()
        if self.error is not None:
            raise self.error

    def release(self) -> None:
        self.gate.set()

    def flush(self) -> None:
        self.flushes += 1

    def close(self) -> None:
        """Nothing to close."""


class Exited(Exception):
    """A guest that ended itself."""


class P2Guest:
    """What host functions use of a guest."""

    def __init__(
        self, stdin: Any = None, environ: tuple[bytes, ...] = (), arguments: tuple[bytes, ...] = ()
    ) -> None:
        self.stdout, self.stderr = BytesSink(), BytesSink()
        wasi = Wasi(stdin or BytesSource(), self.stdout, self.stderr, arguments, lambda: environ)
        self.waited = 0
        self.host = SimpleNamespace(wasi=wasi, about_to_wait=self._waits, note=self._note, notes=[])
        self.figures = SimpleNamespace(inference_ns=0)
        self.exit_code: int | None = None

    def _waits(self) -> None:
        self.waited += 1

    def _note(self, text: str) -> None:
        self.host.notes.append(text)

    def exit(self, code: int) -> None:
        self.exit_code = code
        raise Exited
