"""Seeing through wit-component's shims: functions that only call through a table another instance fills.

They exist so that a host function may be bound before the memory it uses is there. In the fused module the
function that would be called is known, so the shim and the instance that fills its table are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from wasmind.component.assembly import FromInstance, HostDefinition
from wasmind.component.binary.cursor import Cursor
from wasmind.component.core.module import CoreModule, Kind, Section, Span
from wasmind.component.core.types import CoreFunction, Reference
from wasmind.component.fuse.layout import HOST, Entity, Part
from wasmind.component.fuse.segments import RawElement, raw_elements

_INDEX = re.compile(rb"\x41([\x00-\x3f]|[\x80-\xff][\x00-\x7f]{1,4})\x0b\Z", re.DOTALL)


def elide(
    parts: Sequence[Part], hosts: Sequence[HostDefinition], exported: set[FromInstance]
) -> dict[Entity, Entity]:
    """Mark the instances that can be left out; what their functions stand for."""
    aliases: dict[Entity, Entity] = {}
    for number, part in enumerate(parts):
        slots = _forwarders(part.module)
        if slots is None:
            continue
        filler = _filler(parts, number)
        if filler is None or any(each.module.start is not None for each in parts[:filler]):
            continue
        if any(_touches(parts, number, reference) for reference in exported):
            continue
        contents = _contents(parts[filler])
        targets = None if contents is None else _targets(parts, hosts, number, slots, contents)
        if targets is not None:
            aliases |= targets
            part.elided = True
            parts[filler].elided = True
    return aliases


def _touches(parts: Sequence[Part], shim: int, reference: FromInstance) -> bool:
    """Whether an export that the plan names is the shim's table."""
    part = parts[reference.instance]
    kind, index = part.module.exports[reference.name]
    return kind is Kind.TABLE and part.entities[kind][index][0] == shim


def _forwarders(module: CoreModule) -> list[int] | None:
    """The table slot each function calls, if the module is nothing but such functions and their table."""
    if module.imports or module.memories or module.globals or module.tags or module.start is not None:
        return None
    if len(module.tables) != 1 or module.tables[0].element != Reference("func") or not module.functions:
        return None
    if {Section.ELEMENT, Section.DATA} & module.sections.keys():
        return None
    slots = []
    for index, body in enumerate(_bodies(module)):
        slot = _slot(module, index, body)
        if slot is None:
            return None
        slots.append(slot)
    return slots


def _bodies(module: CoreModule) -> Iterator[Span]:
    span = module.sections[Section.CODE]
    cursor = Cursor(module.data, span.at, span.end)
    for _ in range(cursor.count()):
        length = cursor.u32()
        at = cursor.take(length)
        yield Span(at, at + length)


def _slot(module: CoreModule, index: int, body: Span) -> int | None:
    """The slot in `(local.get 0) … (i32.const slot) (call_indirect)`, if this is what the function does."""
    cursor = Cursor(module.data, body.at, body.end)
    type_index = module.functions[index]
    if cursor.u32() != 0:
        return None
    for param in range(len(module.types[type_index].params)):
        if cursor.byte() != 0x20 or cursor.u32() != param:
            return None
    if cursor.byte() != 0x41:
        return None
    slot = cursor.signed(32)
    if cursor.byte() != 0x11 or cursor.u32() != type_index or cursor.u32() != 0 or cursor.byte() != 0x0B:
        return None
    return slot if cursor.done else None


def _filler(parts: Sequence[Part], shim: int) -> int | None:
    """The one other instance that has the shim's table, if it does nothing but fill it."""
    owners = [
        number
        for number, part in enumerate(parts)
        if number != shim and any(entity[0] == shim for entity in part.entities[Kind.TABLE])
    ]
    if len(owners) != 1:
        return None
    module = parts[owners[0]].module
    defined = len(module.functions) - module.imported(Kind.FUNC)
    others = (module.memories, module.globals, module.tags)
    if defined or any(others) or len(module.tables) != 1 or module.exports:
        return None
    return None if Section.DATA in module.sections else owners[0]


def _contents(part: Part) -> dict[int, Entity] | None:
    """What an instance writes into its table, by slot."""
    contents: dict[int, Entity] = {}
    functions = part.entities[Kind.FUNC]
    for raw in raw_elements(part.module):
        offset = _offset(part.module, raw)
        if offset is None or raw.functions is None:
            return None
        if max(raw.functions, default=0) >= len(functions):
            return None
        for slot, index in enumerate(raw.functions, offset):
            contents[slot] = functions[index]
    return contents


def _offset(module: CoreModule, raw: RawElement) -> int | None:
    """Where an active segment begins, if that is plain."""
    if raw.offset is None or not _INDEX.match(module.data[raw.offset.at : raw.offset.end]):
        return None
    return Cursor(module.data, raw.offset.at + 1, raw.offset.end).signed(32)


def _targets(
    parts: Sequence[Part],
    hosts: Sequence[HostDefinition],
    shim: int,
    slots: list[int],
    contents: dict[int, Entity],
) -> dict[Entity, Entity] | None:
    """What each function of the shim stands for, if that is sure and of its type."""
    module = parts[shim].module
    minimum = module.tables[0].limits.minimum
    if any(slot >= minimum for slot in contents):
        return None
    targets: dict[Entity, Entity] = {}
    for index, slot in enumerate(slots):
        target = contents.get(slot)
        if target is None or target[0] == shim:
            return None
        if _type(parts, hosts, target) != module.types[module.functions[index]]:
            return None
        targets[shim, index] = target
    return targets


def _type(parts: Sequence[Part], hosts: Sequence[HostDefinition], entity: Entity) -> CoreFunction:
    number, index = entity
    if number == HOST:
        return hosts[index].type
    module = parts[number].module
    return module.types[module.functions[index]]
