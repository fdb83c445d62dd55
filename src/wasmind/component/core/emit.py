"""Writing core modules: numbers, names, types and sections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from wasmind.component.core.module import PREAMBLE, Kind, Section
from wasmind.component.core.types import (
    HEAPS,
    NUMBERS,
    CoreFunction,
    CoreGlobal,
    CoreMemory,
    CoreTable,
    CoreValue,
    Limits,
    Reference,
)

_NUMBER_CODES = {name: bytes((code,)) for code, name in NUMBERS.items()}
_HEAP_CODES = {name: code for code, name in HEAPS.items()}
_SHORT = [bytes((number,)) for number in range(128)]

TypeIndex = Callable[[CoreFunction], int]
"""The index a function type has in the module that is written."""


def u32(value: int) -> bytes:
    """An unsigned LEB128 number."""
    if value < 0x80:
        return _SHORT[value]
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def signed(value: int) -> bytes:
    """A signed LEB128 number."""
    out = bytearray()
    while not -64 <= value < 64:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value & 0x7F)
    return bytes(out)


def name(text: str) -> bytes:
    """A name."""
    data = text.encode()
    return u32(len(data)) + data


def vector(items: Sequence[bytes]) -> bytes:
    """A counted sequence."""
    return u32(len(items)) + b"".join(items)


def section(code: Section, content: bytes) -> bytes:
    """A section; nothing if it is empty."""
    return bytes((code,)) + u32(len(content)) + content


def value(kind: CoreValue, types: TypeIndex) -> bytes:
    """A value type."""
    return _NUMBER_CODES[kind] if isinstance(kind, str) else reference(kind, types)


def reference(kind: Reference, types: TypeIndex) -> bytes:
    """A reference type."""
    prefix = b"\x63" if kind.nullable else b"\x64"
    if isinstance(kind.heap, CoreFunction):
        return prefix + signed(types(kind.heap))
    code = bytes((_HEAP_CODES[kind.heap],))
    return code if kind.nullable else prefix + code


def function(kind: CoreFunction, types: TypeIndex) -> bytes:
    """A function type."""
    return (
        b"\x60"
        + vector([value(param, types) for param in kind.params])
        + vector([value(result, types) for result in kind.results])
    )


def limits(kind: Limits) -> bytes:
    """Limits, with their flags."""
    flags = (kind.maximum is not None) | kind.shared << 1 | kind.wide << 2 | (kind.page is not None) << 3
    parts = [bytes((flags,)), u32(kind.minimum)]
    if kind.maximum is not None:
        parts.append(u32(kind.maximum))
    if kind.page is not None:
        parts.append(u32(kind.page))
    return b"".join(parts)


def table(kind: CoreTable, types: TypeIndex) -> bytes:
    """A table type."""
    return reference(kind.element, types) + limits(kind.limits)


def memory(kind: CoreMemory) -> bytes:
    """A memory type."""
    return limits(kind.limits)


def global_(kind: CoreGlobal, types: TypeIndex) -> bytes:
    """A global's type."""
    return value(kind.value, types) + (b"\1" if kind.mutable else b"\0")


def export(text: str, kind: Kind, index: int) -> bytes:
    """An export."""
    return name(text) + bytes((kind,)) + u32(index)


def small_module(
    imports: Sequence[tuple[str, CoreFunction]],
    exported: tuple[str, CoreFunction, tuple[CoreValue, ...], bytes],
) -> bytes:
    """A module of one function that only imports functions, all of module "".

    `exported` is its name, its type, its locals and its instructions; function indices count the imports
    first.
    """
    text, kind, locals_, code = exported
    types = [function(each, _none) for each in (*(item for _, item in imports), kind)]
    body = vector([b"\1" + value(each, _none) for each in locals_]) + code + b"\x0b"
    sections: Iterable[bytes] = (
        section(Section.TYPE, vector(types)),
        section(
            Section.IMPORT,
            vector([name("") + name(key) + b"\0" + u32(index) for index, (key, _) in enumerate(imports)]),
        ),
        section(Section.FUNCTION, vector([u32(len(imports))])),
        section(Section.EXPORT, vector([export(text, Kind.FUNC, len(imports))])),
        section(Section.CODE, vector([u32(len(body)) + body])),
    )
    return PREAMBLE + b"".join(sections)


def _none(_: CoreFunction) -> int:
    raise ValueError("a type index in a small module")
