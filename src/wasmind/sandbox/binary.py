"""A strict reader of a core module's outline: what it imports, exports and how large its memories are.

It reads the sections that say so and skips the code, so a module can be refused with a reason before anything
is compiled. Whether the rest is valid, the compiler says. (WebAssembly core specification, chapter 5.)
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from wasmind.errors import NotWasm, UnsupportedFeature
from wasmind.sandbox.values import Kind, Signature

MAGIC: Final = b"\0asm"
_MODULE: Final = b"\1\0\0\0"
_PAGE: Final = 65536
_ORDER: Final = (1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11)  # the order in which sections may come
_VALUE_TYPES: Final = {kind.byte: kind for kind in Kind}

ItemKind: TypeAlias = Literal["function", "table", "memory", "global", "tag"]
_ITEMS: Final[tuple[ItemKind, ...]] = ("function", "table", "memory", "global", "tag")


class Import(msgspec.Struct, frozen=True):
    """Something that a module wants from its host. `signature` is set for functions of number types."""

    module: str
    name: str
    kind: ItemKind
    signature: Signature | None = None

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Export(msgspec.Struct, frozen=True):
    """Something that a module offers. `signature` is set for functions of number types."""

    name: str
    kind: ItemKind
    signature: Signature | None = None


class Outline(msgspec.Struct, frozen=True):
    """What a module says of itself. `memories` are the sizes in bytes that its memories begin with."""

    imports: tuple[Import, ...]
    exports: tuple[Export, ...]
    memories: tuple[int, ...]
    tables: tuple[int, ...]


def outline(wasm: bytes) -> Outline:
    """Read a module's outline. Raises NotWasm or UnsupportedFeature, which say why and where."""
    if wasm[:4] != MAGIC:
        raise NotWasm(
            "this is no WebAssembly",
            cause=f"it begins with {wasm[:4]!r} instead of {MAGIC!r}",
            remedy=_hint(wasm),
        )
    if wasm[4:8] != _MODULE:
        if wasm[6:8] == b"\1\0":
            raise UnsupportedFeature(
                "this is a component, where a core module is expected",
                remedy="compile it to a core module (wasm32-wasip1)",
            )
        raise NotWasm(
            "this is no WebAssembly module", cause=f"its version is {wasm[4:8].hex(' ')}, not 01 00 00 00"
        )
    return _Reader(wasm).read()


def _hint(wasm: bytes) -> str | None:
    if wasm.lstrip()[:7] == b"(module":
        return "this is the text format: translate it with `wasm-tools parse`"
    if wasm[:4] == b"\x7fELF":
        return "this is a native program: build it for a WebAssembly target such as wasm32-wasi"
    return None


class _Cursor:
    """Reads forward in a part of the module; every read is checked against the part's end."""

    __slots__ = ("at", "data", "end")

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self.data, self.at, self.end = data, at, end

    def fail(self, why: str) -> NotWasm:
        return NotWasm("this is no valid WebAssembly module", cause=f"{why}, at byte {self.at:#x}")

    def byte(self) -> int:
        if self.at >= self.end:
            raise self.fail("it ends too early")
        value = self.data[self.at]
        self.at += 1
        return value

    def number(self, bits: int = 32) -> int:
        """An unsigned LEB128 number; over-long forms are refused as the specification says."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift >= bits:
                raise self.fail("a number is too long")
        if value >> bits:
            raise self.fail("a number is too large")
        return value

    def count(self) -> int:
        """The length of a list whose items take at least a byte each."""
        value = self.number()
        if value > self.end - self.at:
            raise self.fail(f"a list of {value} items does not fit")
        return value

    def part(self) -> _Cursor:
        size = self.number()
        if size > self.end - self.at:
            raise self.fail(f"a part of {size} bytes does not fit")
        part = _Cursor(self.data, self.at, self.at + size)
        self.at += size
        return part

    def name(self) -> str:
        part = self.part()
        try:
            return self.data[part.at : part.end].decode("utf-8")
        except UnicodeDecodeError:
            raise part.fail("a name is not UTF-8") from None


class _Reader:
    """Collects the outline, section by section."""

    def __init__(self, wasm: bytes) -> None:
        self._whole = _Cursor(wasm, 8, len(wasm))
        self._types: list[Signature | None] = []
        self._functions: list[int] = []
        self._imports: list[Import] = []
        self._exports: list[Export] = []
        self._memories: list[int] = []
        self._tables: list[int] = []

    def read(self) -> Outline:
        readers = {
            1: self._type,
            2: self._import,
            3: lambda cursor: self._functions.append(cursor.number()),
            4: self._table,
            5: lambda cursor: self._memories.append(_memory(cursor)),
            7: self._export,
        }
        last = -1
        whole = self._whole
        while whole.at < whole.end:
            number = whole.byte()
            part = whole.part()
            if number == 0:
                continue
            if number not in _ORDER:
                raise part.fail(f"there is no section {number}")
            if _ORDER.index(number) <= last:
                raise part.fail(f"section {number} is out of order")
            last = _ORDER.index(number)
            reader = readers.get(number)
            if reader is not None:
                for _ in range(part.count()):
                    reader(part)
                if part.at != part.end:
                    raise part.fail(f"section {number} is longer than its items")
        return Outline(tuple(self._imports), tuple(self._exports), tuple(self._memories), tuple(self._tables))

    def _type(self, cursor: _Cursor) -> None:
        form = cursor.byte()
        if form != 0x60:
            raise UnsupportedFeature(
                "this module uses garbage-collected types",
                cause=f"a type of form {form:#x}, at byte {cursor.at - 1:#x}",
                remedy="build it without the GC proposal",
            )
        parameters = [_value_type(cursor) for _ in range(cursor.count())]
        results = [_value_type(cursor) for _ in range(cursor.count())]
        if None in parameters or None in results:
            self._types.append(None)
        else:
            self._types.append(Signature(tuple(k for k in parameters if k), tuple(k for k in results if k)))

    def _import(self, cursor: _Cursor) -> None:
        module, name = cursor.name(), cursor.name()
        kind = self._kind(cursor)
        signature = None
        if kind == "function":
            index = cursor.number()
            self._functions.append(index)
            signature = self._signature(cursor, index)
        elif kind == "table":
            self._tables.append(_table(cursor))
        elif kind == "memory":
            self._memories.append(_memory(cursor))
        elif kind == "global":
            _value_type(cursor)
            cursor.byte()
        else:
            cursor.byte()
            cursor.number()
        self._imports.append(Import(module, name, kind, signature))

    def _table(self, cursor: _Cursor) -> None:
        if cursor.data[cursor.at : cursor.at + 2] == b"\x40\x00":
            raise UnsupportedFeature(
                "this module uses tables with initial values", cause=f"at byte {cursor.at:#x}"
            )
        self._tables.append(_table(cursor))

    def _export(self, cursor: _Cursor) -> None:
        name = cursor.name()
        kind = self._kind(cursor)
        index = cursor.number()
        signature = None
        if kind == "function":
            if index >= len(self._functions):
                raise cursor.fail(f"the export {name!r} names function {index}, which does not exist")
            signature = self._signature(cursor, self._functions[index])
        self._exports.append(Export(name, kind, signature))

    def _signature(self, cursor: _Cursor, index: int) -> Signature | None:
        if index >= len(self._types):
            raise cursor.fail(f"type {index} does not exist")
        return self._types[index]

    @staticmethod
    def _kind(cursor: _Cursor) -> ItemKind:
        kind = cursor.byte()
        if kind >= len(_ITEMS):
            raise cursor.fail(f"there is no kind of item {kind}")
        return _ITEMS[kind]


def _value_type(cursor: _Cursor) -> Kind | None:
    """A number type, or None for a vector or a reference."""
    byte = cursor.byte()
    if byte in _VALUE_TYPES:
        return _VALUE_TYPES[byte]
    if byte in (0x7B, 0x70, 0x6F):  # v128, funcref, externref
        return None
    raise UnsupportedFeature(
        "this module uses a type that is not offered", cause=f"type {byte:#x}, at byte {cursor.at - 1:#x}"
    )


def _limits(cursor: _Cursor, what: str) -> int:
    flags = cursor.byte()
    if flags & 2:
        raise UnsupportedFeature(
            f"this module has a shared {what}",
            cause="functions have no threads, so there is nobody to share it with",
            remedy="build it without threads (without -pthread, without --shared-memory)",
        )
    if flags & 4:
        raise UnsupportedFeature(f"this module has a 64-bit {what}", remedy="build it for wasm32")
    if flags > 1:
        raise UnsupportedFeature(
            f"this module has a {what} with limits of an unknown form", cause=f"flags {flags:#x}"
        )
    least = cursor.number()
    if flags & 1 and cursor.number() < least:
        raise cursor.fail(f"the most a {what} may have is less than the least")
    return least


def _memory(cursor: _Cursor) -> int:
    return _limits(cursor, "memory") * _PAGE


def _table(cursor: _Cursor) -> int:
    _value_type(cursor)
    return _limits(cursor, "table")
