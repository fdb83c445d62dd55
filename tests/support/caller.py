"""A guest whose every wasi-nn call is made by the test."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from support.guests import Run

if TYPE_CHECKING:
    from support.backend import FixedModels
    from wasmind.config import Limits
    from wasmind.sandbox import Program

PAGE = 65536
SIZE = 4 * PAGE
"""The guest's memory."""
OUT, NAME, RECORD, DIMS, DATA, BUFFER = 16, 64, 128, 256, 1024, 4096
F16, F32, F64, U8, I32, I64 = range(6)


class Caller:
    """Writes arguments into the guest's memory, and calls."""

    def __init__(
        self, program: Program, models: FixedModels, limits: Limits | None = None, tenant: str = "acme"
    ) -> None:
        self.run = Run(program, models, limits=limits, tenant=tenant)
        self.memory = self.run.memory
        self.notes = self.run.notes

    async def __aenter__(self) -> Caller:
        await self.run.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.run.close()

    async def call(self, name: str, *values: int) -> int:
        return await self.run.call(name, *values)

    @property
    def out(self) -> int:
        return self.memory.u32(OUT)

    async def named(self, name: bytes | str = "linear") -> int:
        data = name.encode() if isinstance(name, str) else name
        self.memory.write(NAME, data)
        return await self.call("load_by_name", NAME, len(data), OUT)

    async def context(self, name: str = "linear") -> int:
        assert await self.named(name) == 0, self.notes
        assert await self.call("init_execution_context", self.out, OUT) == 0
        return self.out

    def tensor(
        self,
        dims: tuple[int, ...],
        type_: int,
        data: bytes,
        *,
        rank: int | None = None,
        length: int | None = None,
        padding: bytes = b"\0\0\0",
    ) -> int:
        """Write a tensor's record, and say where it is."""
        self.memory.write(DIMS, struct.pack(f"<{len(dims)}I", *dims))
        self.memory.write(DATA, data)
        head = struct.pack("<IIB", DIMS, len(dims) if rank is None else rank, type_) + padding
        self.memory.write(RECORD, head + struct.pack("<II", DATA, len(data) if length is None else length))
        return RECORD

    async def set_input(
        self, context: int, index: int, dims: tuple[int, ...], type_: int, data: bytes
    ) -> int:
        return await self.call("set_input", context, index, self.tensor(dims, type_, data))

    async def output(self, context: int, index: int = 0, size: int = 1024) -> tuple[int, int, bytes]:
        """The errno, what was written to *written, and the bytes."""
        self.memory.set_u32(OUT, 0xDEADBEEF)
        errno = await self.call("get_output", context, index, BUFFER, size, OUT)
        return errno, self.out, self.memory.read(BUFFER, min(self.out, size) if errno == 0 else 0)

    async def load(self, *builders: bytes, encoding: int = 1, target: int = 0) -> int:
        """Write builders and their array, and load them."""
        at, pairs = DATA, b""
        for builder in builders:
            self.memory.write(at, builder)
            pairs += struct.pack("<II", at, len(builder))
            at += len(builder)
        self.memory.write(RECORD, pairs)
        return await self.call("load", RECORD, len(builders), encoding, target, OUT)
