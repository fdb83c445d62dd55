"""Reading canonical definitions and their options (Binary.md, "Canonical Definitions")."""

from __future__ import annotations

from typing import Any

from wasmind.component.binary.cursor import Cursor
from wasmind.component.binary.definitions import (
    CanonLift,
    CanonLower,
    CanonOptions,
    CanonResource,
    Definition,
)
from wasmind.component.binary.types import refused_async
from wasmind.component.types import StringEncoding
from wasmind.errors import UnsupportedFeature

_ENCODINGS = {0: StringEncoding.UTF8, 1: StringEncoding.UTF16, 2: StringEncoding.LATIN1_UTF16}
_INDEXED = {3: "memory", 4: "realloc", 5: "post_return"}
_RESOURCES = {2: "resource.new", 3: "resource.drop", 4: "resource.rep"}
_ASYNC = {
    0x05: "task.cancel",
    0x06: "subtask.cancel",
    0x07: "resource.drop async",
    0x08: "backpressure.set",
    0x09: "task.return",
    0x0A: "context.get",
    0x0B: "context.set",
    0x0C: "thread.yield",
    0x0D: "subtask.drop",
    0x0E: "stream.new",
    0x0F: "stream.read",
    0x10: "stream.write",
    0x11: "stream.cancel-read",
    0x12: "stream.cancel-write",
    0x13: "stream.drop-readable",
    0x14: "stream.drop-writable",
    0x15: "future.new",
    0x16: "future.read",
    0x17: "future.write",
    0x18: "future.cancel-read",
    0x19: "future.cancel-write",
    0x1A: "future.drop-readable",
    0x1B: "future.drop-writable",
    0x1C: "error-context.new",
    0x1D: "error-context.debug-message",
    0x1E: "error-context.drop",
    0x1F: "waitable-set.new",
    0x20: "waitable-set.wait",
    0x21: "waitable-set.poll",
    0x22: "waitable-set.drop",
    0x23: "waitable.join",
    0x24: "backpressure.inc",
    0x25: "backpressure.dec",
}
_THREADS = (*range(0x26, 0x2E), 0x40, 0x41, 0x42)


def read_canon(cursor: Cursor) -> Definition:
    """A canonical definition. Asynchronous ones are refused."""
    start, code = cursor.at, cursor.byte()
    match code:
        case 0:
            cursor.expect(0, "the sort of functions")
            return CanonLift(start, cursor.u32(), read_options(cursor), cursor.u32())
        case 1:
            cursor.expect(0, "the sort of functions")
            return CanonLower(start, cursor.u32(), read_options(cursor))
        case 2 | 3 | 4:
            return CanonResource(start, _RESOURCES[code], cursor.u32())
    if code in _ASYNC:
        raise refused_async(f"canon {_ASYNC[code]}", start)
    if code in _THREADS:
        raise refused_async("threads", start)
    raise cursor.fail(f"0x{code:02x} is no canonical definition", start)


def read_options(cursor: Cursor) -> CanonOptions:
    """The options of a canonical definition, each at most once."""
    found: dict[str, Any] = {}
    value: StringEncoding | int
    for _ in range(cursor.count()):
        start, code = cursor.at, cursor.byte()
        if code in _ENCODINGS:
            name, value = "encoding", _ENCODINGS[code]
        elif code in _INDEXED:
            name, value = _INDEXED[code], cursor.u32()
        elif code in (6, 7):
            raise refused_async("an async canonical option", start)
        elif code in (8, 9):
            raise UnsupportedFeature(f"a canonical option for garbage-collected guests (at byte {start})")
        else:
            raise cursor.fail(f"0x{code:02x} is no canonical option", start)
        if name in found:
            raise cursor.fail(f"the canonical option {name.replace('_', '-')} is there twice", start)
        found[name] = value
    return CanonOptions(**found)
