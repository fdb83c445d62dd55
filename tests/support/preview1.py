"""Buffers of a guest that calls preview 1: written, read and told of as a C library does."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.guests import Run

PAGE = 65536
SIZE = 4 * PAGE
OUT, VECTORS, BUFFER = 16, 64, 8192


def vectors(run: Run, *spans: tuple[int, int]) -> tuple[int, int]:
    """Write an array of buffers."""
    run.memory.write(VECTORS, b"".join(struct.pack("<II", *span) for span in spans))
    return VECTORS, len(spans)


async def write(run: Run, fd: int, *parts: bytes) -> int:
    """Write parts that lie apart, by one call."""
    spans, at = [], BUFFER
    for part in parts:
        run.memory.write(at, part)
        spans.append((at, len(part)))
        at += len(part) + 7
    return await run.call("fd_write", fd, *vectors(run, *spans), OUT)


async def read(run: Run, *lengths: int) -> bytes:
    """Read into buffers that lie apart, by one call that succeeds."""
    spans, at = [], BUFFER
    for length in lengths:
        spans.append((at, length))
        at += length + 5
    assert await run.call("fd_read", 0, *vectors(run, *spans), OUT) == 0
    left, found = run.memory.u32(OUT), b""
    for pointer, length in spans:
        found += run.memory.read(pointer, min(length, left))
        left -= min(length, left)
    return found
