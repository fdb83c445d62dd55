"""What a component's indices stand for once they are resolved.

Items are compared by identity: two types may be equal (`item.type`), and still be two definitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from wasmind.component.assembly import Lifted, Source
from wasmind.component.core.module import Span
from wasmind.component.core.types import CoreExtern, CoreFunction
from wasmind.component.types import FunctionType, ResourceType, ValueType

if TYPE_CHECKING:
    from wasmind.component.binary.definitions import Component, Definition
    from wasmind.component.evaluate.scope import Scope


@dataclass(slots=True, eq=False)
class ResourceItem:
    """A resource type."""

    type: ResourceType


@dataclass(slots=True, eq=False)
class ValueItem:
    """A value type, with what checks want to know of it."""

    type: ValueType
    parts: tuple[TypeItem, ...]
    """The types it is made of, as they were defined."""
    nodes: int
    """How many types it is when written out."""
    depth: int
    size: int
    """Bytes it takes in a 64-bit memory."""
    align: int
    named: bool
    """Whether it must have a name to be seen from outside (a record, variant, enum or flags)."""
    resources: bool
    """Whether a resource type is part of it."""
    borrows: bool
    """Whether a borrowed handle is part of it."""
    pointers: bool
    """Whether a list or string, which lie elsewhere in memory, is part of it."""


@dataclass(slots=True, eq=False)
class FunctionItem:
    """A function type."""

    type: FunctionType
    parts: tuple[ValueItem, ...]
    """The types of its parameters and its result."""
    nodes: int
    resources: bool


@dataclass(slots=True, eq=False)
class BodyItem:
    """The type of an instance or of a component: its body, and the scope it stands in."""

    body: tuple[Definition, ...]
    scope: Scope
    component: bool
    resources: bool = False
    """Whether it speaks of a resource type from outside."""


TypeItem: TypeAlias = ResourceItem | ValueItem | FunctionItem | BodyItem


@dataclass(slots=True, eq=False)
class ModuleTypeItem:
    """The type of a core module."""

    imports: Mapping[tuple[str, str], CoreExtern]
    exports: Mapping[str, CoreExtern]


@dataclass(slots=True, eq=False)
class ModuleItem:
    """A core module: where it lies, or, if only its type is known, nothing."""

    type: ModuleTypeItem
    span: Span | None


@dataclass(slots=True, eq=False)
class CoreItem:
    """A function, table, memory, global or tag of a core instance, and where it comes from."""

    type: CoreExtern
    source: Source


@dataclass(slots=True, eq=False)
class CoreInstanceItem:
    """A core instance."""

    exports: Mapping[str, CoreItem]


@dataclass(frozen=True, slots=True)
class Imported:
    """A function that the component itself imports: its interface (or "") and name."""

    interface: str
    name: str


@dataclass(slots=True, eq=False)
class FuncItem:
    """A component function; `origin` None means that only its type is known."""

    type: FunctionItem
    origin: Imported | Lifted | None


@dataclass(slots=True, eq=False)
class InstanceItem:
    """An instance: its exports, in order."""

    exports: dict[str, Item] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class ComponentItem:
    """A component: its definitions and the scope they stand in, or a type if only that is known."""

    definition: Component | BodyItem
    scope: Scope


Item: TypeAlias = FuncItem | InstanceItem | ComponentItem | ModuleItem | TypeItem
"""What a component imports, exports and passes on."""
AnyItem: TypeAlias = Item | CoreItem | CoreInstanceItem | ModuleTypeItem | CoreFunction
"""What an index may stand for."""
