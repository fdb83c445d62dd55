"""How the core modules of a component are wired: which are instantiated, in which order, and with what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from wasmind.component.core.module import Span
from wasmind.component.core.types import CoreFunction
from wasmind.component.types import FunctionType, StringEncoding


@dataclass(frozen=True, slots=True)
class FromInstance:
    """An export of a core instance."""

    instance: int
    name: str


@dataclass(frozen=True, slots=True)
class FromHost:
    """A function that the host provides, by its number in the assembly."""

    function: int


Source: TypeAlias = FromInstance | FromHost
"""Where something that a core module imports comes from."""


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """Canonical options, resolved: the component instance, and where memory and realloc come from."""

    instance: int
    encoding: StringEncoding = StringEncoding.UTF8
    memory: Source | None = None
    realloc: Source | None = None


@dataclass(frozen=True, slots=True)
class Lifted:
    """A core function that a component instance lifts."""

    type: FunctionType
    core: Source
    core_type: CoreFunction
    options: SourceOptions
    post_return: Source | None


@dataclass(frozen=True, slots=True)
class LowerImport:
    """The host function behind a lowered import of the component."""

    interface: str
    name: str
    type: FunctionType
    options: SourceOptions


@dataclass(frozen=True, slots=True)
class Builtin:
    """The host function behind a canonical built-in, or half of one: see the functions of `plan`."""

    does: str
    resource: int
    instance: int


@dataclass(frozen=True, slots=True)
class AdapterPart:
    """The host function behind one part of an adapter."""

    does: str
    adapter: int


@dataclass(frozen=True, slots=True)
class AdapterDefinition:
    """A function that one component instance lifts and another lowers."""

    type: FunctionType
    caller: SourceOptions
    callee: Lifted


@dataclass(frozen=True, slots=True)
class EntryPart:
    """The host function behind one part of a call from the host into an export."""

    does: str
    export: int


HostSource: TypeAlias = LowerImport | Builtin | AdapterPart | EntryPart


@dataclass(frozen=True, slots=True)
class HostDefinition:
    """A function that the host provides."""

    does: HostSource
    type: CoreFunction


@dataclass(frozen=True, slots=True)
class CoreInstance:
    """A core instance: its module, in the component's binary or made here, and its imports in their order."""

    module: Span | bytes
    imports: tuple[Source, ...]


@dataclass(slots=True, eq=False)
class ResourceDefinition:
    """A resource type: the host's, or implemented by a component instance (`owner`)."""

    name: str
    interface: str
    owner: int | None = None
    destructor: Source | None = None


@dataclass(frozen=True, slots=True)
class ExportedFunction:
    """A function that the component exports: lifted, or one of its own imports passed on."""

    interface: str
    name: str
    type: FunctionType
    lifted: Lifted | None
    entry: FromInstance | None = None
    forwarded: tuple[str, str] | None = None


@dataclass(slots=True, eq=False)
class Assembly:
    """A whole component, wired."""

    data: bytes
    """The component's binary, in which modules lie."""
    instances: list[CoreInstance] = field(default_factory=list)
    hosts: list[HostDefinition] = field(default_factory=list)
    adapters: list[AdapterDefinition] = field(default_factory=list)
    resources: list[ResourceDefinition] = field(default_factory=list)
    parents: list[int | None] = field(default_factory=list)
    """The parent of each component instance."""
    exports: list[ExportedFunction] = field(default_factory=list)
