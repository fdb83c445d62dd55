"""Reading a component binary, strictly, into definitions (Binary.md).

What is well-formed but not offered — start functions, values, asynchronous components — is refused with a
reason.
"""

from __future__ import annotations

from collections.abc import Callable

from wasmind.component.binary import types
from wasmind.component.binary.canon import read_canon
from wasmind.component.binary.cursor import Cursor, Item
from wasmind.component.binary.definitions import (
    AliasExport,
    AliasOuter,
    Bundle,
    Component,
    ComponentTypeDef,
    CoreBundle,
    CoreInstantiate,
    DefineComponent,
    DefineModule,
    DefineType,
    Definition,
    Export,
    ExportDeclaration,
    ExternDesc,
    Import,
    InstanceTypeDef,
    Instantiate,
    Sort,
)
from wasmind.component.binary.names import is_interface, is_plain, is_valid
from wasmind.errors import NotWasm, ProgramTooLarge, UnsupportedFeature

PREAMBLE = b"\0asm\x0d\0\x01\0"
MAX_DEPTH = 50
"""How deep components and types may nest."""
MAX_DEFINITIONS = 300_000
"""How many definitions a component may have, nested ones included."""

_CORE_SORTS = {
    0x00: Sort.CORE_FUNC,
    0x01: Sort.CORE_TABLE,
    0x02: Sort.CORE_MEMORY,
    0x03: Sort.CORE_GLOBAL,
    0x04: Sort.CORE_TAG,
    0x10: Sort.CORE_TYPE,
    0x11: Sort.CORE_MODULE,
    0x12: Sort.CORE_INSTANCE,
}
_SORTS = {0x01: Sort.FUNC, 0x03: Sort.TYPE, 0x04: Sort.COMPONENT, 0x05: Sort.INSTANCE}
_OUTER = (Sort.CORE_MODULE, Sort.CORE_TYPE, Sort.COMPONENT, Sort.TYPE)


def is_component(data: bytes) -> bool:
    """Whether this claims to be a component and not a core module."""
    return data[:4] == PREAMBLE[:4] and data[6:8] == PREAMBLE[6:8]


def read_component(data: bytes) -> Component:
    """Read a component. Raises NotWasm, UnsupportedFeature or ProgramTooLarge, with the offset."""
    return _Reader().component(Cursor(data), 0)


def refused_values(at: int) -> UnsupportedFeature:
    """The error for value imports, exports and definitions, and for start functions."""
    return UnsupportedFeature(
        f"the component uses values or a start function (at byte {at})",
        cause="these parts of the Component Model are not settled, and no toolchain makes them",
    )


class _Reader:
    """Reads one binary; counts what it defines."""

    def __init__(self) -> None:
        self.definitions = 0

    def spend(self, cursor: Cursor, count: int) -> None:
        self.definitions += count
        if self.definitions > MAX_DEFINITIONS:
            raise ProgramTooLarge(
                f"the component has more than {MAX_DEFINITIONS} definitions",
                cause=f"reached at byte {cursor.at}",
            )

    def vector(self, cursor: Cursor, item: Callable[[Cursor], Item]) -> list[Item]:
        count = cursor.count()
        self.spend(cursor, count)
        return [item(cursor) for _ in range(count)]

    def component(self, cursor: Cursor, depth: int) -> Component:
        start = cursor.at
        if cursor.bytes(min(8, cursor.end - start)) != PREAMBLE:
            raise NotWasm(
                f"no component begins at byte {start}", cause="its first bytes are 00 61 73 6d 0d 00 01 00"
            )
        self.nest(cursor, depth)
        body: list[Definition] = []
        while not cursor.done:
            code = cursor.byte()
            part = cursor.within(cursor.u32())
            self.section(code, part, body, depth)
        return Component(start, tuple(body), depth)

    def nest(self, cursor: Cursor, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise ProgramTooLarge(
                f"the component nests deeper than {MAX_DEPTH}", cause=f"reached at byte {cursor.at}"
            )

    def section(self, code: int, part: Cursor, body: list[Definition], depth: int) -> None:
        match code:
            case 0:
                part.name()
                return
            case 1:
                self.spend(part, 1)
                body.append(DefineModule(part.at, part.end))
                return
            case 4:
                self.spend(part, 1)
                body.append(DefineComponent(part.at, self.component(part, depth + 1)))
                return
            case 9 | 12:
                raise refused_values(part.at)
        item = self.items(depth).get(code)
        if item is None:
            raise part.fail(f"there is no section 0x{code:02x}")
        body.extend(self.vector(part, item))
        part.finish(f"section 0x{code:02x}")

    def items(self, depth: int) -> dict[int, Callable[[Cursor], Definition]]:
        return {
            2: self.core_instance,
            3: self.core_type,
            5: self.instance,
            6: self.alias,
            7: lambda cursor: self.type(cursor, depth),
            8: read_canon,
            10: self.import_,
            11: self.export,
        }

    # --- instances and aliases -------------------------------------------------------------------------

    def core_instance(self, cursor: Cursor) -> Definition:
        start, code = cursor.at, cursor.byte()
        if code == 0:
            module = cursor.u32()
            return CoreInstantiate(start, module, tuple(self.vector(cursor, self.core_argument)))
        if code == 1:
            return CoreBundle(start, tuple(self.vector(cursor, self.core_export)))
        raise cursor.fail(f"0x{code:02x} makes no core instance", start)

    def core_argument(self, cursor: Cursor) -> tuple[str, int]:
        name = cursor.name()
        cursor.expect(0x12, "the sort of core instances")
        return name, cursor.u32()

    def core_export(self, cursor: Cursor) -> tuple[str, Sort, int]:
        return cursor.name(), self.core_sort(cursor), cursor.u32()

    def core_type(self, cursor: Cursor) -> Definition:
        start = cursor.at
        found = types.read_core_type(cursor)
        self.spend(cursor, (cursor.at - start) // 8)
        return found

    def instance(self, cursor: Cursor) -> Definition:
        start, code = cursor.at, cursor.byte()
        if code == 0:
            component = cursor.u32()
            return Instantiate(start, component, tuple(self.vector(cursor, self.argument)))
        if code == 1:
            return Bundle(start, tuple(self.vector(cursor, self.inline_export)))
        raise cursor.fail(f"0x{code:02x} makes no instance", start)

    def argument(self, cursor: Cursor) -> tuple[str, Sort, int]:
        return cursor.name(), self.sort(cursor), cursor.u32()

    def inline_export(self, cursor: Cursor) -> tuple[str, Sort, int]:
        name, _ = self.extern_name(cursor)
        return name, self.sort(cursor), cursor.u32()

    def core_sort(self, cursor: Cursor) -> Sort:
        start, code = cursor.at, cursor.byte()
        if code not in _CORE_SORTS:
            raise cursor.fail(f"0x{code:02x} is no core sort", start)
        return _CORE_SORTS[code]

    def sort(self, cursor: Cursor) -> Sort:
        start, code = cursor.at, cursor.byte()
        if code == 0:
            return self.core_sort(cursor)
        if code == 2:
            raise refused_values(start)
        if code not in _SORTS:
            raise cursor.fail(f"0x{code:02x} is no sort", start)
        return _SORTS[code]

    def alias(self, cursor: Cursor) -> Definition:
        start, sort = cursor.at, self.sort(cursor)
        code = cursor.byte()
        if code in (0, 1):
            return AliasExport(start, sort, cursor.u32(), cursor.name(), core=code == 1)
        if code != 2:
            raise cursor.fail(f"0x{code:02x} is no alias", cursor.at - 1)
        if sort not in _OUTER:
            raise cursor.fail(f"a {sort.value} cannot be aliased from outside", start)
        return AliasOuter(start, sort, cursor.u32(), cursor.u32())

    # --- types -----------------------------------------------------------------------------------------

    def type(self, cursor: Cursor, depth: int) -> DefineType:
        start, code = cursor.at, cursor.peek()
        if code not in (0x41, 0x42):
            found = types.read_plain_type(cursor)
            self.spend(cursor, (cursor.at - start) // 8)
            return DefineType(start, found)
        cursor.byte()
        self.nest(cursor, depth + 1)
        body = tuple(self.vector(cursor, lambda c: self.declaration(c, depth + 1, code == 0x41)))
        return DefineType(start, ComponentTypeDef(body) if code == 0x41 else InstanceTypeDef(body))

    def declaration(self, cursor: Cursor, depth: int, component: bool) -> Definition:
        start, code = cursor.at, cursor.byte()
        match code:
            case 0:
                return self.core_type(cursor)
            case 1:
                return self.type(cursor, depth)
            case 2:
                return self.alias(cursor)
            case 3 if component:
                return self.import_(cursor)
            case 4:
                name, implements = self.extern_name(cursor)
                return ExportDeclaration(start, name, self.extern_type(cursor), implements)
        raise cursor.fail(f"0x{code:02x} is no declaration", start)

    # --- names, imports and exports --------------------------------------------------------------------

    def import_(self, cursor: Cursor) -> Definition:
        start = cursor.at
        name, implements = self.extern_name(cursor)
        return Import(start, name, self.extern_type(cursor), implements)

    def export(self, cursor: Cursor) -> Definition:
        start = cursor.at
        name, implements = self.extern_name(cursor)
        sort, index = self.sort(cursor), cursor.u32()
        return Export(start, name, sort, index, cursor.maybe(self.extern_type), implements)

    def extern_name(self, cursor: Cursor) -> tuple[str, str | None]:
        start, code = cursor.at, cursor.byte()
        if code > 2:
            raise cursor.fail(f"0x{code:02x} begins no name", start)
        name = cursor.name()
        if not is_valid(name):
            raise cursor.fail(f"{name!r} is neither a plain name nor an interface's", start)
        attributes: dict[int, str] = {}
        for _ in range(cursor.count() if code == 2 else 0):
            kind, text = self.attribute(cursor)
            if kind in attributes:
                raise cursor.fail("an attribute of a name is there twice", start)
            attributes[kind] = text
        implements = attributes.get(0)
        if implements is not None and not (is_interface(implements) and is_plain(name)):
            raise cursor.fail("only what has a plain name implements an interface", start)
        return name, implements

    def attribute(self, cursor: Cursor) -> tuple[int, str]:
        start, code = cursor.at, cursor.byte()
        if code > 2:
            raise cursor.fail(f"0x{code:02x} is no attribute of a name", start)
        return code, cursor.name()

    def extern_type(self, cursor: Cursor) -> ExternDesc:
        start, code = cursor.at, cursor.byte()
        match code:
            case 0:
                cursor.expect(0x11, "the sort of core modules")
                return ExternDesc(Sort.CORE_MODULE, cursor.u32())
            case 1 | 4 | 5:
                return ExternDesc(_SORTS[code], cursor.u32())
            case 2:
                raise refused_values(start)
            case 3:
                bound = cursor.byte()
                if bound > 1:
                    raise cursor.fail(f"0x{bound:02x} bounds no type", start)
                return ExternDesc(Sort.TYPE, None if bound else cursor.u32())
        raise cursor.fail(f"0x{code:02x} is nothing to import or export", start)
