"""Element and data segments: read from an instance, written for the fused module."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from wasmind.component.binary.cursor import Cursor
from wasmind.component.core import emit
from wasmind.component.core.module import CoreModule, Kind, Section, Span, skip_expression
from wasmind.component.core.types import Reference, read_reference
from wasmind.component.fuse.constants import END, Constant, Constants, function
from wasmind.component.fuse.layout import Layout, Part

FUNCREF = Reference("func")
_PLAIN = re.compile(rb"\x00(\x41[\x80-\xff]{0,4}+[\x00-\x7f])\x0b", re.DOTALL)
"""An active data segment of memory 0, at a place that is a number."""


@dataclass(slots=True)
class Element:
    """An element segment; `table` None means it is passive, or only declares (`declared`)."""

    table: int | None
    offset: Constant | None
    kind: Reference
    items: list[Constant]
    declared: bool = False

    @property
    def written(self) -> bytes:
        """The items, as function indices where all are functions."""
        indices = [each.function for each in self.items]
        if None in indices or self.kind != FUNCREF:
            return emit.vector([each.code + END for each in self.items])
        return emit.vector([emit.u32(index) for index in indices if index is not None])

    def by_index(self) -> bool:
        """Whether `written` is function indices and not expressions."""
        return self.kind == FUNCREF and all(each.function is not None for each in self.items)


@dataclass(slots=True)
class Data:
    """A data segment; `memory` None means it is passive."""

    memory: int | None
    offset: Constant | None
    content: Span


@dataclass(slots=True)
class RawElement:
    """An element segment as it stands in a module: indices are the module's own."""

    flags: int
    table: int
    offset: Span | None
    kind: Reference
    functions: list[int] | None
    """The functions, if they are given by index."""
    expressions: list[Span]


def raw_elements(module: CoreModule) -> Iterator[RawElement]:
    """The element segments of a module. Raises NotWasm."""
    span = module.sections.get(Section.ELEMENT)
    if span is None:
        return
    cursor = Cursor(module.data, span.at, span.end)
    for _ in range(cursor.count()):
        yield _raw_element(module, cursor)
    cursor.finish("the element section")


def _raw_element(module: CoreModule, cursor: Cursor) -> RawElement:
    start, flags = cursor.at, cursor.u32()
    if flags > 7:
        raise cursor.fail(f"{flags} are no flags of an element segment", start)
    active, explicit, expressions = not flags & 1, bool(flags & 2), bool(flags & 4)
    table = cursor.u32() if active and explicit else 0
    offset = skip_expression(cursor) if active else None
    kind = FUNCREF
    if flags & 3:
        if expressions:
            kind = read_reference(cursor, module.function_type)
        else:
            cursor.expect(0, "functions")
    if expressions:
        return RawElement(flags, table, offset, kind, None, cursor.vector(skip_expression))
    return RawElement(flags, table, offset, kind, cursor.vector(Cursor.u32), [])


def elements(part: Part, constants: Constants) -> list[Element]:
    """The element segments of an instance, for the fused module."""
    found = []
    for raw in raw_elements(part.module):
        functions = part.maps[Kind.FUNC]
        if raw.functions is not None:
            items = [function(functions[index]) for index in _checked(part, raw.functions, len(functions))]
        else:
            items = [constants.evaluate(part, span) for span in raw.expressions]
        offset = None if raw.offset is None else constants.evaluate(part, raw.offset)
        tables = part.maps[Kind.TABLE]
        table = None if offset is None else tables[_checked(part, [raw.table], len(tables))[0]]
        found.append(Element(table, offset, raw.kind, items, declared=raw.flags & 3 == 3))
    return found


def datas(part: Part, constants: Constants) -> list[Data]:
    """The data segments of an instance, for the fused module."""
    module = part.module
    span = module.sections.get(Section.DATA)
    if span is None:
        return []
    cursor = Cursor(module.data, span.at, span.end)
    found = [_data(part, constants, cursor) for _ in range(cursor.count())]
    cursor.finish("the data section")
    return found


def _data(part: Part, constants: Constants, cursor: Cursor) -> Data:
    start = cursor.at
    plain = _PLAIN.match(cursor.data, start, cursor.end)
    if plain and part.maps[Kind.MEMORY]:
        # As nearly all are, tens of thousands in a snapshot of a language's runtime.
        cursor.at = plain.end()
        return Data(part.maps[Kind.MEMORY][0], Constant(plain[1]), _content(cursor))
    flags = cursor.u32()
    if flags > 2:
        raise cursor.fail(f"{flags} are no flags of a data segment", start)
    memory, offset = None, None
    if flags != 1:
        memories = part.maps[Kind.MEMORY]
        index = cursor.u32() if flags == 2 else 0
        memory = memories[_checked(part, [index], len(memories))[0]]
        offset = constants.evaluate(part, skip_expression(cursor))
    return Data(memory, offset, _content(cursor))


def _content(cursor: Cursor) -> Span:
    length = cursor.u32()
    at = cursor.take(length)
    return Span(at, at + length)


def _checked(part: Part, indices: list[int], count: int) -> list[int]:
    if indices and max(indices) >= count:
        raise Cursor(part.module.data, part.module.span.at).fail(
            f"there is no index {max(indices)} a segment uses"
        )
    return indices


def write_element(element: Element, layout: Layout) -> bytes:
    """An element segment."""
    by_index = element.by_index()
    if element.table is None or element.offset is None:
        flags, head = (3 if element.declared else 1), b""
    else:
        flags, head = 2, emit.u32(element.table) + element.offset.code + END
    if not by_index:
        flags |= 4
    kind = b"\0" if by_index else emit.reference(element.kind, layout.type_index)
    return emit.u32(flags) + head + kind + element.written


def write_data(data: Data) -> bytes:
    """A data segment, up to its content."""
    length = emit.u32(data.content.end - data.content.at)
    if data.memory is None or data.offset is None:
        return b"\1" + length
    head = b"\0" if data.memory == 0 else b"\2" + emit.u32(data.memory)
    return head + data.offset.code + END + length
