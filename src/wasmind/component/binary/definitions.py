"""A component as its binary says it: definitions in order, indices still unresolved (Binary.md).

An index counts within the index space of its sort, in the component or type it stands in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from wasmind.component.core.types import CoreFunction, CoreGlobal, CoreMemory, CoreTable
from wasmind.component.types import Primitive, StringEncoding


class Sort(Enum):
    """What an index counts; the value is its name in the text format."""

    __hash__ = object.__hash__  # in C, and members are compared by identity anyway

    CORE_FUNC = "core func"
    CORE_TABLE = "core table"
    CORE_MEMORY = "core memory"
    CORE_GLOBAL = "core global"
    CORE_TAG = "core tag"
    CORE_TYPE = "core type"
    CORE_MODULE = "core module"
    CORE_INSTANCE = "core instance"
    FUNC = "func"
    TYPE = "type"
    COMPONENT = "component"
    INSTANCE = "instance"


@dataclass(frozen=True, slots=True)
class Definition:
    """Something a component defines; `at` is its offset in the binary, for errors."""

    at: int


# --- types ---------------------------------------------------------------------------------------------

ValueRef: TypeAlias = int | Primitive
"""A value type where it is used: an index, or a primitive."""
Labelled: TypeAlias = tuple[str, ValueRef]


@dataclass(frozen=True, slots=True)
class RecordDef:
    """`record`."""

    fields: tuple[Labelled, ...]


@dataclass(frozen=True, slots=True)
class VariantDef:
    """`variant`."""

    cases: tuple[tuple[str, ValueRef | None], ...]


@dataclass(frozen=True, slots=True)
class ListDef:
    """`list`, of a fixed length or not."""

    element: ValueRef
    length: int | None = None


@dataclass(frozen=True, slots=True)
class MapDef:
    """`map`, a list of pairs to the canonical ABI."""

    key: ValueRef
    value: ValueRef


@dataclass(frozen=True, slots=True)
class TupleDef:
    """`tuple`."""

    elements: tuple[ValueRef, ...]


@dataclass(frozen=True, slots=True)
class FlagsDef:
    """`flags`."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EnumDef:
    """`enum`."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OptionDef:
    """`option`."""

    some: ValueRef


@dataclass(frozen=True, slots=True)
class ResultDef:
    """`result`."""

    ok: ValueRef | None
    error: ValueRef | None


@dataclass(frozen=True, slots=True)
class HandleDef:
    """`own` or `borrow` of the resource type with this index."""

    resource: int
    owned: bool


@dataclass(frozen=True, slots=True)
class FuncDef:
    """`func`."""

    params: tuple[Labelled, ...]
    result: ValueRef | None


@dataclass(frozen=True, slots=True)
class ResourceDef:
    """`resource`, which this component implements."""

    destructor: int | None


@dataclass(frozen=True, slots=True)
class InstanceTypeDef:
    """`instance`: what an instance exports."""

    body: tuple[Definition, ...]


@dataclass(frozen=True, slots=True)
class ComponentTypeDef:
    """`component`: what a component imports and exports."""

    body: tuple[Definition, ...]


ValueDef: TypeAlias = (
    Primitive
    | RecordDef
    | VariantDef
    | ListDef
    | MapDef
    | TupleDef
    | FlagsDef
    | EnumDef
    | OptionDef
    | ResultDef
    | HandleDef
)
TypeDef: TypeAlias = ValueDef | FuncDef | ResourceDef | InstanceTypeDef | ComponentTypeDef


@dataclass(frozen=True, slots=True)
class DefineType(Definition):
    """A type of the component level."""

    type: TypeDef


@dataclass(frozen=True, slots=True)
class TypedBy:
    """A core function (or tag) of the type with this index."""

    index: int
    tag: bool = False


CoreDesc: TypeAlias = TypedBy | CoreTable | CoreMemory | CoreGlobal


@dataclass(frozen=True, slots=True)
class ModuleImport:
    """A module of this type imports this."""

    module: str
    name: str
    type: CoreDesc


@dataclass(frozen=True, slots=True)
class ModuleExport:
    """A module of this type exports this."""

    name: str
    type: CoreDesc


@dataclass(frozen=True, slots=True)
class ModuleTypeDef:
    """The type of a core module, with a type index space of its own."""

    body: tuple[CoreFunction | AliasOuter | ModuleImport | ModuleExport, ...]


@dataclass(frozen=True, slots=True)
class DefineCoreType(Definition):
    """A core type: of a function or of a module."""

    type: CoreFunction | ModuleTypeDef


# --- definitions ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DefineModule(Definition):
    """A core module; it lies at `at` up to `end`."""

    end: int


@dataclass(frozen=True, slots=True)
class DefineComponent(Definition):
    """A nested component."""

    component: Component


@dataclass(frozen=True, slots=True)
class CoreInstantiate(Definition):
    """A core instance of a module; each argument is a name and a core instance."""

    module: int
    arguments: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class CoreBundle(Definition):
    """A core instance made of things already there."""

    exports: tuple[tuple[str, Sort, int], ...]


@dataclass(frozen=True, slots=True)
class Instantiate(Definition):
    """An instance of a component."""

    component: int
    arguments: tuple[tuple[str, Sort, int], ...]


@dataclass(frozen=True, slots=True)
class Bundle(Definition):
    """An instance made of things already there."""

    exports: tuple[tuple[str, Sort, int], ...]


@dataclass(frozen=True, slots=True)
class AliasExport(Definition):
    """An export of an instance (core instance, if `core`)."""

    sort: Sort
    instance: int
    name: str
    core: bool


@dataclass(frozen=True, slots=True)
class AliasOuter(Definition):
    """A definition of an enclosing component or type, `count` levels out."""

    sort: Sort
    count: int
    index: int


@dataclass(frozen=True, slots=True)
class CanonOptions:
    """The options of a canonical definition; indices of core memories and functions."""

    encoding: StringEncoding = StringEncoding.UTF8
    memory: int | None = None
    realloc: int | None = None
    post_return: int | None = None


@dataclass(frozen=True, slots=True)
class CanonLift(Definition):
    """A core function becomes a component function."""

    function: int
    options: CanonOptions
    type: int


@dataclass(frozen=True, slots=True)
class CanonLower(Definition):
    """A component function becomes a core function."""

    function: int
    options: CanonOptions


@dataclass(frozen=True, slots=True)
class CanonResource(Definition):
    """`resource.new`, `resource.drop` or `resource.rep`, a core function."""

    operation: str
    resource: int


@dataclass(frozen=True, slots=True)
class ExternDesc:
    """What an import or export is declared to be: a sort, and the index of its type.

    For the sort TYPE, `index` None means an abstract resource type, otherwise the type it equals.
    """

    sort: Sort
    index: int | None


@dataclass(frozen=True, slots=True)
class Import(Definition):
    """An import; `implements` names the interface that an instance with a plain name has."""

    name: str
    type: ExternDesc
    implements: str | None = None


@dataclass(frozen=True, slots=True)
class Export(Definition):
    """An export of something already there, perhaps as of another type."""

    name: str
    sort: Sort
    index: int
    type: ExternDesc | None
    implements: str | None = None


@dataclass(frozen=True, slots=True)
class ExportDeclaration(Definition):
    """What an instance or component of this type exports."""

    name: str
    type: ExternDesc
    implements: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """A component: its definitions, in order. It is compared by identity."""

    at: int
    body: tuple[Definition, ...]
    depth: int
