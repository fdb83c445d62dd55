"""Writing the fused module of a planned component.

It behaves as the instances would one by one: segments and start functions keep their order, and a start
function finds of the later instances only what it would have found. Where that cannot be kept, Unfusable is
raised.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wasmind.component.assembly import HostDefinition
from wasmind.component.core import emit
from wasmind.component.core.module import PREAMBLE, CoreModule, Kind, Section, read_module
from wasmind.component.core.types import CoreFunction
from wasmind.component.fuse import Unfusable
from wasmind.component.fuse.code import Translator
from wasmind.component.fuse.constants import END, Constants
from wasmind.component.fuse.layout import Layout, Part, entities, lay_out
from wasmind.component.fuse.names import name_section
from wasmind.component.fuse.segments import (
    Data,
    Element,
    datas,
    elements,
    write_data,
    write_element,
)
from wasmind.component.fuse.shims import elide
from wasmind.component.plan import INITIALIZE, Plan
from wasmind.component.planner import Planned

MAX_GROWTH = 1 << 20
"""How much larger than the component the fused module may be, in bytes, since modules may be repeated."""


def fuse(planned: Planned) -> bytes:
    """The one core module. Raises Unfusable, or NotWasm if a module is malformed."""
    assembly = planned.assembly
    parts = [Part(_module(planned, each.module), each.imports) for each in assembly.instances]
    if sum(part.module.span.end - part.module.span.at for part in parts) > len(assembly.data) + MAX_GROWTH:
        raise Unfusable("core modules are instantiated so often that the fused module would grow too large")
    entities(parts)
    aliases = elide(parts, assembly.hosts, set(planned.references.values()))
    layout = lay_out(parts, aliases)
    return PREAMBLE + b"".join(_Writer(planned, layout).sections())


def _module(planned: Planned, module: object) -> CoreModule:
    if isinstance(module, bytes):
        return read_module(module)
    return planned.modules[module.at]  # type: ignore[attr-defined]  # a Span


class _Writer:
    """Writes the sections of one fused module."""

    def __init__(self, planned: Planned, layout: Layout) -> None:
        self.plan: Plan = planned.plan
        self.hosts: Sequence[HostDefinition] = planned.assembly.hosts
        self.references = planned.references
        self.layout = layout
        self.kept = [part for part in layout.parts if not part.elided]
        self.constants = Constants(layout)
        self.elements: list[Element] = []
        self.datas: list[tuple[Part, Data]] = []
        self.started: list[bytes] = []
        """Instructions of the start function, once there is one."""

    def sections(self) -> Iterable[bytes]:
        """All sections, in order."""
        for part in self.layout.parts:
            self._segments(part)
        bodies, referenced = self._bodies()
        types = self.layout.type_index
        imports = [self._import(number) for number in self.layout.hosts]
        functions = [
            types(part.module.types[index])
            for part in self.kept
            for index in part.module.functions[part.module.imported(Kind.FUNC) :]
        ]
        start = self._start(functions, bodies)
        exports = self._exports() + start
        if referenced:
            items = [emit.u32(index) for index in sorted(referenced)]
            declared = [b"\3\0" + emit.vector(items)]
        else:
            declared = []
        content = {
            Section.IMPORT: emit.vector(imports),
            Section.FUNCTION: emit.vector([emit.u32(index) for index in functions]),
            Section.TABLE: emit.vector(self._tables()),
            Section.MEMORY: emit.vector(self._memories()),
            Section.TAG: emit.vector(self._tags()),
            Section.GLOBAL: emit.vector(self._globals()),
            Section.EXPORT: emit.vector(exports),
            Section.ELEMENT: emit.vector(
                [write_element(each, self.layout) for each in self.elements] + declared
            ),
            Section.DATA_COUNT: emit.u32(len(self.datas)) if self.datas else b"\0",
            Section.CODE: emit.vector(bodies),
            Section.DATA: self._data(),
        }
        # Written last: everything before may have asked for types.
        kinds = [emit.function(kind, types) for kind in list(self.layout.types)]
        yield emit.section(Section.TYPE, emit.vector(kinds))
        for section, data in content.items():
            if data not in (b"", b"\0"):
                yield emit.section(section, data)
        yield name_section(self.layout)

    def _segments(self, part: Part) -> None:
        """Collect an instance's segments; behind a start function, they are written by code."""
        if not part.elided:
            part.elements, part.datas = len(self.elements), len(self.datas)
            for element in elements(part, self.constants):
                self._element(element)
            for data in datas(part, self.constants):
                self._datum(part, data)
        start = part.module.start
        if start is not None:
            index = part.maps[Kind.FUNC][start]
            if index < 0:
                raise Unfusable("a start function that only forwards calls")
            self.started.append(b"\x10" + emit.u32(index))

    def _element(self, element: Element) -> None:
        if self.started and element.table is not None and element.offset is not None:
            number = emit.u32(len(self.elements))
            count = b"\x41" + emit.signed(len(element.items))
            self.started.append(element.offset.code + b"\x41\0" + count)
            self.started.append(b"\xfc\x0c" + number + emit.u32(element.table) + b"\xfc\x0d" + number)
            element.table = element.offset = None
        self.elements.append(element)

    def _datum(self, part: Part, data: Data) -> None:
        if self.started and data.memory is not None and data.offset is not None:
            number = emit.u32(len(self.datas))
            count = b"\x41" + emit.signed(_i32(data.content.end - data.content.at))
            self.started.append(data.offset.code + b"\x41\0" + count)
            self.started.append(b"\xfc\x08" + number + emit.u32(data.memory) + b"\xfc\x09" + number)
            data.memory = data.offset = None
        self.datas.append((part, data))

    def _bodies(self) -> tuple[list[bytes], set[int]]:
        bodies: list[bytes] = []
        referenced: set[int] = set()
        for part in self.kept:
            translator = Translator(part, self.layout, self.constants)
            bodies += translator.bodies()
            referenced |= translator.referenced
        return bodies, referenced

    def _start(self, functions: list[int], bodies: list[bytes]) -> list[bytes]:
        """The export that does what start functions do; it is a function of its own.

        In a start section, host functions could not yet reach the instance's memory.
        """
        if not self.started:
            return []
        body = b"\0" + b"".join(self.started) + END
        bodies.append(emit.u32(len(body)) + body)
        functions.append(self.layout.type_index(CoreFunction((), ())))
        return [emit.export(INITIALIZE, Kind.FUNC, self.layout.functions)]

    def _import(self, number: int) -> bytes:
        item = self.plan.imports[number]
        index = self.layout.type_index(self.hosts[number].type)
        return emit.name(item.module) + emit.name(item.name) + bytes((Kind.FUNC,)) + emit.u32(index)

    def _tables(self) -> list[bytes]:
        out = []
        for number, index in self.layout.tables:
            part = self.layout.parts[number]
            init = part.module.table_inits[index - part.module.imported(Kind.TABLE)]
            kind = emit.table(part.module.tables[index], self.layout.type_index)
            if init is None:
                out.append(kind)
            else:
                out.append(b"\x40\0" + kind + self.constants.evaluate(part, init).code + END)
        return out

    def _memories(self) -> list[bytes]:
        parts = self.layout.parts
        return [emit.memory(parts[number].module.memories[index]) for number, index in self.layout.memories]

    def _tags(self) -> list[bytes]:
        out = []
        for number, index in self.layout.tags:
            module = self.layout.parts[number].module
            out.append(b"\0" + emit.u32(self.layout.type_index(module.types[module.tags[index]])))
        return out

    def _globals(self) -> list[bytes]:
        out = []
        for entity in self.layout.globals:
            number, index = entity
            kind = self.layout.parts[number].module.globals[index]
            out.append(emit.global_(kind, self.layout.type_index) + self.constants.initial(entity).code + END)
        return out

    def _exports(self) -> list[bytes]:
        return [emit.export(name, *self.layout.index(source)) for name, source in self.references.items()]

    def _data(self) -> bytes:
        pieces = [emit.u32(len(self.datas))]
        for part, data in self.datas:
            pieces.append(write_data(data))
            pieces.append(part.module.data[data.content.at : data.content.end])
        return b"".join(pieces)


def _i32(value: int) -> int:
    """The number as a signed one of 32 bits, as i32.const takes it."""
    return value - (1 << 32) if value >= 1 << 31 else value
