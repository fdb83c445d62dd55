"""A guest for the canonical ABI alone: memory, an allocator, contexts. And the reference's vectors."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

from wasmind.component.abi.context import Context, open_contexts
from wasmind.component.abi.values import Err, Ok, Some
from wasmind.component.plan import Options
from wasmind.component.types import StringEncoding, ValueType
from wasmind.errors import GuestTrap

VECTORS = Path(__file__).parents[1] / "data" / "abi" / "vectors.json"


class FakeMemory:
    """A memory as the sandbox gives it; `buffer` is what was there when last looked."""

    def __init__(self, data: bytearray, *, moves: bool = False) -> None:
        self.data = data
        self.moves = moves
        self.looks = 0
        self.buffer = memoryview(data)

    def refresh(self) -> None:
        self.looks += 1
        self.buffer = memoryview(self.data)

    def grow(self, size: int) -> None:
        """Grow, elsewhere: views from before keep the old bytes."""
        self.data = bytearray(self.data) + bytes(size)


class FakeGuest:
    """A guest that only has memory and a realloc, which never gives the same bytes twice."""

    def __init__(self, size: int = 4096, *options: Options, moves: bool = False, instances: int = 1) -> None:
        self.memory = FakeMemory(bytearray(size), moves=moves)
        self.memories = {"memory": self.memory}
        self.reallocs: list[tuple[int, ...]] = []
        self.last = 0
        self.answer: int | None = None
        self.during: Any = None
        self.exit_code: int | None = None
        chosen = options or (Options(0, StringEncoding.UTF8, "memory", "realloc"),)
        self.host = SimpleNamespace(contexts=open_contexts(self, instances, chosen))

    @property
    def cx(self) -> Context:
        found: Context = self.host.contexts[0]
        return found

    @property
    def data(self) -> bytearray:
        return self.memory.data

    def memory_named(self, name: str) -> FakeMemory:
        return self.memories[name]

    def call_nested(self, _name: str, old: int, old_size: int, align: int, size: int) -> int:
        self.reallocs.append((old, old_size, align, size))
        if self.during is not None:
            self.during()
        if self.answer is not None:
            return self.answer
        if old and size < old_size:
            return (old + align - 1) & -align
        found = (self.last + align - 1) & -align
        self.last = found + size
        if self.last > len(self.data):
            raise GuestTrap("out of memory")
        self.data[found : found + old_size] = self.data[old : old + old_size]
        return found


def guest_with(data: bytes, encoding: StringEncoding = StringEncoding.UTF8) -> FakeGuest:
    """A guest whose memory holds `data`."""
    guest = FakeGuest(len(data), Options(0, encoding, "memory", "realloc"))
    guest.data[:] = data
    return guest


@cache
def vectors(kind: str) -> list[list[Any]]:
    """The reference's vectors of one kind."""
    rows: list[list[Any]] = json.loads(VECTORS.read_text())[kind]
    return rows


def type_of(encoded: Any) -> ValueType:
    """A type of the vectors."""
    return msgspec.convert(encoded, ValueType)


def value_of(encoded: Any) -> Any:
    """A value of the vectors."""
    match encoded:
        case {"float": text}:
            return float.fromhex(text)
        case {"bytes": text}:
            return bytes.fromhex(text)
        case {"tuple": items}:
            return tuple(map(value_of, items))
        case {"flags": names}:
            return frozenset(names)
        case {"ok": inner}:
            return Ok(value_of(inner))
        case {"err": inner}:
            return Err(value_of(inner))
        case {"some": inner}:
            return Some(value_of(inner))
        case [*items]:
            return list(map(value_of, items))
    return encoded


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, all NaNs being one."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (one != one and other != other)
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, (Ok, Err, Some)):
        return same(one.value, other.value)
    return bool(one == other)
