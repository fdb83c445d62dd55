"""Index spaces of the fused module: which entity of which instance gets which index.

Instances are laid out one after the other, host functions first. What an instance imports from another is the
same entity, so only definitions take an index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from wasmind.component.assembly import FromHost, FromInstance, Source
from wasmind.component.core.module import CoreModule, Kind
from wasmind.component.core.types import CoreFunction
from wasmind.component.fuse import Unfusable

Entity: TypeAlias = tuple[int, int]
"""An instance and an index in its own index space; or HOST and the number of a host function."""
HOST = -1


@dataclass(slots=True)
class Part:
    """A core instance: its module, what it imports, and how its indices translate."""

    module: CoreModule
    imports: Sequence[Source]
    entities: dict[Kind, list[Entity]] = field(default_factory=dict)
    """What each index of the instance's own index spaces is."""
    maps: dict[Kind, list[int]] = field(default_factory=dict)
    """The index of that in the fused module."""
    elided: bool = False
    """Whether the instance only forwards calls, and is left out."""
    elements: int = 0
    """Where the instance's element segments begin in the fused module."""
    datas: int = 0
    """Where its data segments begin."""


@dataclass(slots=True)
class Layout:
    """The index spaces of the fused module."""

    parts: list[Part]
    hosts: list[int]
    """The host functions that are imported, by their number in the assembly; first come their indices."""
    functions: int
    """How many functions there are, imported ones included."""
    memories: list[Entity]
    tables: list[Entity]
    globals: list[Entity]
    tags: list[Entity]
    types: dict[CoreFunction, int] = field(default_factory=dict)

    def type_index(self, kind: CoreFunction) -> int:
        """The index of a function type, a new one if it is not there yet."""
        index = self.types.get(kind)
        if index is None:
            for value in (*kind.params, *kind.results):
                if not isinstance(value, str) and isinstance(value.heap, CoreFunction):
                    self.type_index(value.heap)
            index = self.types[kind] = len(self.types)
        return index

    def index(self, reference: FromInstance) -> tuple[Kind, int]:
        """The kind and index of an export of an instance."""
        part = self.parts[reference.instance]
        kind, index = part.module.exports[reference.name]
        return kind, part.maps[kind][index]


def entities(parts: Sequence[Part]) -> None:
    """Find out what every index of every instance is."""
    for number, part in enumerate(parts):
        part.entities = {kind: [] for kind in Kind}
        for item, source in zip(part.module.imports, part.imports, strict=True):
            part.entities[item.kind].append(_entity(parts, item.kind, source))
        for kind, space in part.entities.items():
            count = len(part.module.space(kind))
            space.extend((number, index) for index in range(len(space), count))


def _entity(parts: Sequence[Part], kind: Kind, source: Source) -> Entity:
    if isinstance(source, FromHost):
        return HOST, source.function
    exporter = parts[source.instance]
    found, index = exporter.module.exports[source.name]
    if found is not kind:
        raise Unfusable(f"the export {source.name!r} is imported as another kind")
    return exporter.entities[kind][index]


def lay_out(parts: list[Part], aliases: Mapping[Entity, Entity]) -> Layout:
    """Give every entity its index; `aliases` are functions that stand for others."""
    kept = [(number, part) for number, part in enumerate(parts) if not part.elided]
    hosts: dict[int, int] = {}
    for _, part in kept:
        for entity in part.entities[Kind.FUNC]:
            source, host = follow(entity, aliases)
            if source == HOST:
                hosts.setdefault(host, len(hosts))
    layout = Layout(parts, list(hosts), 0, [], [], [], [])
    indices: dict[Entity, int] = {(HOST, host): index for host, index in hosts.items()}
    for number, part in kept:
        for index in range(part.module.imported(Kind.FUNC), len(part.module.functions)):
            indices.setdefault((number, index), len(indices))
    layout.functions = len(indices)
    for part in parts:
        part.maps[Kind.FUNC] = [
            indices.get(follow(entity, aliases), -1) for entity in part.entities[Kind.FUNC]
        ]
    for kind, order in (
        (Kind.TABLE, layout.tables),
        (Kind.MEMORY, layout.memories),
        (Kind.GLOBAL, layout.globals),
        (Kind.TAG, layout.tags),
    ):
        _number(parts, kind, order)
    return layout


def _number(parts: Sequence[Part], kind: Kind, order: list[Entity]) -> None:
    indices: dict[Entity, int] = {}
    for number, part in enumerate(parts):
        if part.elided:
            part.maps[kind] = []
            continue
        for entity in part.entities[kind]:
            if entity[0] == number:
                indices[entity] = len(indices)
                order.append(entity)
        part.maps[kind] = [indices[entity] for entity in part.entities[kind]]


def follow(entity: Entity, aliases: Mapping[Entity, Entity]) -> Entity:
    """What a function stands for in the end."""
    for _ in range(len(aliases) + 1):
        if entity not in aliases:
            return entity
        entity = aliases[entity]
    raise Unfusable("functions that forward calls to each other in a circle")
