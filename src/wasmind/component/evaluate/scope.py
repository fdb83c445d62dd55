"""The index spaces of one component, component type or instance type while it is evaluated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from wasmind.component.binary.definitions import ExternDesc, Sort
from wasmind.component.binary.names import Member, member, unique_key
from wasmind.component.core.types import CoreFunction
from wasmind.component.evaluate.items import (
    AnyItem,
    ComponentItem,
    CoreItem,
    FuncItem,
    InstanceItem,
    Item,
    ModuleItem,
    ResourceItem,
    TypeItem,
)
from wasmind.component.types import Borrow, Own, ResourceType, Result, ValueType
from wasmind.errors import InvalidProgram

Give = Callable[[str, ExternDesc, "Scope"], Item]
"""What an import (or a declared export) of this name and description is."""


class Scope:
    """Index spaces that grow as definitions are evaluated; `parent` is the scope around this one."""

    __slots__ = (
        "checks",
        "exports",
        "give_export",
        "give_import",
        "imports",
        "instance",
        "is_type",
        "owned",
        "parent",
        "refers",
        "spaces",
    )

    def __init__(
        self,
        parent: Scope | None,
        *,
        is_type: bool,
        instance: int = 0,
        give_import: Give | None = None,
        give_export: Give | None = None,
    ) -> None:
        self.parent = parent
        self.is_type = is_type
        self.instance = instance
        """The component instance that is made."""
        self.give_import = give_import
        self.give_export = give_export
        self.checks = False
        """Whether types must have names to be seen from outside."""
        self.spaces: defaultdict[Sort, list[AnyItem]] = defaultdict(list)
        self.imports = Names("import")
        self.exports = Names("export")
        self.owned: set[ResourceType] = set()
        """The resource types that this component instance implements."""
        self.refers = False
        """Whether a resource type of an outer scope was aliased."""

    def add(self, sort: Sort, item: AnyItem) -> None:
        """Give an item the next index of its sort."""
        self.spaces[sort].append(item)

    def at(self, sort: Sort, index: int) -> Any:
        """The item with an index; its class follows from the sort. Raises InvalidProgram."""
        space = self.spaces[sort]
        if index >= len(space):
            raise InvalidProgram(
                f"there is no {sort.value} {index}", cause=f"{len(space)} are defined so far"
            )
        return space[index]

    def item(self, sort: Sort, index: int) -> Item:
        """The item with an index, of a sort that components pass on. Raises InvalidProgram."""
        if sort not in PASSED:
            raise InvalidProgram(f"a {sort.value} cannot leave its component")
        found: Item = self.at(sort, index)
        return found

    def core(self, sort: Sort, index: int) -> CoreItem:
        """A core function, table, memory, global or tag. Raises InvalidProgram."""
        found: CoreItem = self.at(sort, index)
        return found

    def type(self, index: int) -> TypeItem:
        """The type with an index. Raises InvalidProgram."""
        found: TypeItem = self.at(Sort.TYPE, index)
        return found

    def resource(self, index: int) -> ResourceItem:
        """The resource type with an index. Raises InvalidProgram."""
        found = self.type(index)
        if not isinstance(found, ResourceItem):
            raise InvalidProgram(f"type {index} is no resource type")
        return found

    def core_function(self, index: int) -> CoreFunction:
        """The core function type with an index. Raises InvalidProgram."""
        found = self.at(Sort.CORE_TYPE, index)
        if not isinstance(found, CoreFunction):
            raise InvalidProgram(f"core type {index} is no function type")
        return found


PASSED = (Sort.FUNC, Sort.INSTANCE, Sort.COMPONENT, Sort.CORE_MODULE, Sort.TYPE)
"""The sorts that components import and export."""


def sort_of(item: Item) -> Sort:
    """The sort of an item."""
    match item:
        case FuncItem():
            return Sort.FUNC
        case InstanceItem():
            return Sort.INSTANCE
        case ComponentItem():
            return Sort.COMPONENT
        case ModuleItem():
            return Sort.CORE_MODULE
        case _:
            return Sort.TYPE


class Names:
    """The imports, or the exports, of one scope: strongly unique, and right about resources."""

    __slots__ = ("items", "keys", "types", "what")

    def __init__(self, what: str) -> None:
        self.what = what
        self.types: set[TypeItem] = set()
        """The types that have a name here."""
        self.items: dict[str, Item] = {}
        self.keys: set[str] = set()

    def add(self, name: str, item: Item) -> None:
        """Take a name. Raises InvalidProgram if it is taken, or says something wrong about a resource."""
        key = unique_key(name)
        if key in self.keys:
            raise InvalidProgram(f"the {self.what} {name!r} conflicts with another")
        self.keys.add(key)
        found = member(name)
        if found is not None:
            self._check(name, found, item)
        self.items[name] = item

    def _check(self, name: str, found: Member, item: Item) -> None:
        resource = self.items.get(found.resource)
        if not isinstance(resource, ResourceItem):
            raise InvalidProgram(f"the {self.what} {name!r} names no resource that stands before it")
        if not isinstance(item, FuncItem):
            raise InvalidProgram(f"the {self.what} {name!r} is no function")
        kind = item.type.type
        if found.kind == "constructor" and not _makes(kind.result, resource):
            raise InvalidProgram(f"the constructor {name!r} does not return its resource")
        if found.kind == "method":
            first = kind.params[0] if kind.params else None
            if first is None or first.name != "self" or first.type != Borrow(resource.type):
                raise InvalidProgram(f"the first parameter of the method {name!r} is not a borrowed `self`")


def _makes(result: ValueType | None, resource: ResourceItem) -> bool:
    made = result.ok if isinstance(result, Result) else result
    return made == Own(resource.type)
