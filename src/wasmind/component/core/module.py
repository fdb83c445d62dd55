"""A core module as far as linking needs it: types, imports, exports, and where its sections lie.

Code, data and element segments are not looked into here; Wasmtime validates the module that is made of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from wasmind.component.binary.cursor import Cursor
from wasmind.component.core.types import (
    CoreExtern,
    CoreFunction,
    CoreGlobal,
    CoreMemory,
    CoreTable,
    CoreTag,
    read_function,
    read_global,
    read_memory,
    read_table,
)
from wasmind.errors import UnsupportedFeature

PREAMBLE = b"\0asm\x01\0\0\0"


class Kind(IntEnum):
    """What an import or export is; the number stands in the binary."""

    FUNC = 0
    TABLE = 1
    MEMORY = 2
    GLOBAL = 3
    TAG = 4


class Section(IntEnum):
    """The sections of a module; the number stands in the binary."""

    CUSTOM = 0
    TYPE = 1
    IMPORT = 2
    FUNCTION = 3
    TABLE = 4
    MEMORY = 5
    GLOBAL = 6
    EXPORT = 7
    START = 8
    ELEMENT = 9
    CODE = 10
    DATA = 11
    DATA_COUNT = 12
    TAG = 13


_ORDER = {
    Section.TYPE: 1,
    Section.IMPORT: 2,
    Section.FUNCTION: 3,
    Section.TABLE: 4,
    Section.MEMORY: 5,
    Section.TAG: 6,
    Section.GLOBAL: 7,
    Section.EXPORT: 8,
    Section.START: 9,
    Section.ELEMENT: 10,
    Section.DATA_COUNT: 11,
    Section.CODE: 12,
    Section.DATA: 13,
}


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the binary."""

    at: int
    end: int


@dataclass(frozen=True, slots=True)
class ModuleImport:
    """An import."""

    module: str
    name: str
    kind: Kind
    type: CoreExtern


@dataclass(slots=True)
class CoreModule:
    """A module. Each list is an index space: imports first, then what the module defines."""

    data: bytes
    span: Span
    types: list[CoreFunction] = field(default_factory=list)
    imports: list[ModuleImport] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)
    """The index of each function's type."""
    tables: list[CoreTable] = field(default_factory=list)
    memories: list[CoreMemory] = field(default_factory=list)
    tags: list[int] = field(default_factory=list)
    """The index of each tag's type."""
    globals: list[CoreGlobal] = field(default_factory=list)
    table_inits: list[Span | None] = field(default_factory=list)
    """The expression each table of the module's own is filled with, if it has one."""
    global_inits: list[Span] = field(default_factory=list)
    """The expression each global of the module's own begins with."""
    exports: dict[str, tuple[Kind, int]] = field(default_factory=dict)
    start: int | None = None
    sections: dict[Section, Span] = field(default_factory=dict)
    """The sections that were not read: elements, code, data."""
    names: Span | None = None
    """The name section's content."""

    def imported(self, kind: Kind) -> int:
        """How many of an index space's members are imports."""
        return sum(1 for item in self.imports if item.kind is kind)

    def space(self, kind: Kind) -> list[int] | list[CoreTable] | list[CoreMemory] | list[CoreGlobal]:
        """An index space."""
        match kind:
            case Kind.FUNC:
                return self.functions
            case Kind.TABLE:
                return self.tables
            case Kind.MEMORY:
                return self.memories
            case Kind.GLOBAL:
                return self.globals
            case Kind.TAG:
                return self.tags

    def type_of(self, kind: Kind, index: int) -> CoreExtern:
        """The type of a member of an index space."""
        match kind:
            case Kind.FUNC:
                return self.types[self.functions[index]]
            case Kind.TABLE:
                return self.tables[index]
            case Kind.MEMORY:
                return self.memories[index]
            case Kind.GLOBAL:
                return self.globals[index]
            case Kind.TAG:
                return CoreTag(self.types[self.tags[index]])

    def export_types(self) -> dict[str, CoreExtern]:
        """What the module exports."""
        return {name: self.type_of(kind, index) for name, (kind, index) in self.exports.items()}

    def function_type(self, index: int) -> CoreFunction:
        """The function type with an index. Raises NotWasm."""
        if index >= len(self.types):
            raise Cursor(self.data, self.span.at).fail(f"there is no type {index}")
        return self.types[index]


def read_module(data: bytes, span: Span | None = None) -> CoreModule:
    """Read a core module that lies within `data`. Raises NotWasm, UnsupportedFeature or ProgramTooLarge."""
    span = span or Span(0, len(data))
    cursor = Cursor(data, span.at, span.end)
    if cursor.bytes(min(8, span.end - span.at)) != PREAMBLE:
        raise cursor.fail("a core module begins with 00 61 73 6d 01 00 00 00", span.at)
    module = CoreModule(data, span)
    last = 0
    while not cursor.done:
        start, code = cursor.at, cursor.byte()
        part = cursor.within(cursor.u32())
        if code not in Section._value2member_map_:
            raise cursor.fail(f"there is no section 0x{code:02x}", start)
        section = Section(code)
        if section is Section.CUSTOM:
            _read_custom(module, part)
            continue
        if _ORDER[section] <= last:
            raise cursor.fail(f"the {section.name.lower()} section is out of order", start)
        last = _ORDER[section]
        _read_section(module, section, part)
    _check(module)
    return module


def _read_section(module: CoreModule, section: Section, part: Cursor) -> None:
    if section in (Section.ELEMENT, Section.CODE, Section.DATA, Section.DATA_COUNT):
        module.sections[section] = Span(part.at, part.end)
        return
    if section is Section.START:
        module.start = part.u32()
    else:
        item = _ITEMS[section]
        for _ in range(part.count()):
            item(module, part)
    part.finish(f"the {section.name.lower()} section")


def _read_custom(module: CoreModule, part: Cursor) -> None:
    if part.name() == "name":
        module.names = Span(part.at, part.end)


def _read_type(module: CoreModule, cursor: Cursor) -> None:
    code = cursor.byte()
    if code in (0x4E, 0x4F, 0x50, 0x5E, 0x5F):
        raise UnsupportedFeature(
            f"a type of the garbage collection proposal at byte {cursor.at - 1}",
            cause="structs, arrays, subtypes and recursive types are not offered in components",
        )
    if code != 0x60:
        raise cursor.fail(f"0x{code:02x} is no type", cursor.at - 1)
    module.types.append(read_function(cursor, module.function_type))


def _read_import(module: CoreModule, cursor: Cursor) -> None:
    source, name = cursor.name(), cursor.name()
    code = cursor.byte()
    if code not in Kind._value2member_map_:
        raise cursor.fail(f"0x{code:02x} is nothing to import", cursor.at - 1)
    kind = Kind(code)
    _ADD[kind](module, cursor)
    module.imports.append(ModuleImport(source, name, kind, module.type_of(kind, -1)))


def _add_function(module: CoreModule, cursor: Cursor) -> None:
    index = cursor.u32()
    module.function_type(index)
    module.functions.append(index)


def _add_table(module: CoreModule, cursor: Cursor) -> None:
    module.tables.append(read_table(cursor, module.function_type))


def _add_memory(module: CoreModule, cursor: Cursor) -> None:
    module.memories.append(read_memory(cursor))


def _add_global(module: CoreModule, cursor: Cursor) -> None:
    module.globals.append(read_global(cursor, module.function_type))


def _add_tag(module: CoreModule, cursor: Cursor) -> None:
    cursor.expect(0, "an exception's attribute")
    index = cursor.u32()
    module.function_type(index)
    module.tags.append(index)


def _read_table(module: CoreModule, cursor: Cursor) -> None:
    if cursor.peek() == 0x40:
        cursor.byte()
        cursor.expect(0, "a reserved byte")
        _add_table(module, cursor)
        module.table_inits.append(skip_expression(cursor))
    else:
        _add_table(module, cursor)
        module.table_inits.append(None)


def _read_global(module: CoreModule, cursor: Cursor) -> None:
    _add_global(module, cursor)
    module.global_inits.append(skip_expression(cursor))


def _read_export(module: CoreModule, cursor: Cursor) -> None:
    start = cursor.at
    name, code, index = cursor.name(), cursor.byte(), cursor.u32()
    if code not in Kind._value2member_map_:
        raise cursor.fail(f"0x{code:02x} is nothing to export", start)
    if name in module.exports:
        raise cursor.fail(f"the export {name!r} is there twice", start)
    kind = Kind(code)
    if index >= len(module.space(kind)):
        raise cursor.fail(f"the export {name!r} is {kind.name.lower()} {index}, which is not there", start)
    module.exports[name] = (kind, index)


_ADD = {
    Kind.FUNC: _add_function,
    Kind.TABLE: _add_table,
    Kind.MEMORY: _add_memory,
    Kind.GLOBAL: _add_global,
    Kind.TAG: _add_tag,
}
_ITEMS = {
    Section.TYPE: _read_type,
    Section.IMPORT: _read_import,
    Section.FUNCTION: _add_function,
    Section.TABLE: _read_table,
    Section.MEMORY: _add_memory,
    Section.TAG: _add_tag,
    Section.GLOBAL: _read_global,
    Section.EXPORT: _read_export,
}


def skip_expression(cursor: Cursor) -> Span:
    """Pass a constant expression; where it lies, its `end` included."""
    start = cursor.at
    while (code := cursor.byte()) != 0x0B:
        match code:
            case 0x41:
                cursor.signed(32)
            case 0x42:
                cursor.signed(64)
            case 0x43:
                cursor.take(4)
            case 0x44:
                cursor.take(8)
            case 0x23 | 0xD2:  # global.get, ref.func
                cursor.u32()
            case 0xD0:  # ref.null
                cursor.signed(33)
            case 0xFD:
                if cursor.u32() != 12:
                    raise cursor.fail("only v128.const is constant", cursor.at - 1)
                cursor.take(16)
            case 0x6A | 0x6B | 0x6C | 0x7C | 0x7D | 0x7E:  # add, sub, mul
                pass
            case _:
                raise cursor.fail(f"0x{code:02x} is no constant instruction", cursor.at - 1)
    return Span(start, cursor.at)


def _check(module: CoreModule) -> None:
    cursor = Cursor(module.data, module.span.at)
    if module.start is not None and module.start >= len(module.functions):
        raise cursor.fail(f"the start function {module.start} is not there")
    defined = len(module.functions) - module.imported(Kind.FUNC)
    code = module.sections.get(Section.CODE)
    bodies = 0 if code is None else Cursor(module.data, code.at, code.end).u32()
    if bodies != defined:
        raise cursor.fail(f"{defined} functions are declared, {bodies} have a body")
    limits = [memory.limits for memory in module.memories] + [table.limits for table in module.tables]
    if any(each.shared for each in limits):
        raise UnsupportedFeature(
            "a shared memory", cause="threads are not offered", remedy="compile without threads"
        )
