"""Finding what the host offers for what a component imports, and checking that the types agree."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from wasmind.component.abi.handles import Resource
from wasmind.component.abi.values import Err
from wasmind.component.interface import HostResource, WitFunction, WitInterface, compatible
from wasmind.component.plan import Plan
from wasmind.component.types import (
    Borrow,
    Case,
    EnumType,
    Field,
    FunctionType,
    List,
    Option,
    Own,
    Record,
    ResourceType,
    Result,
    Tuple,
    ValueType,
    Variant,
)
from wasmind.errors import GuestTrap, UnknownImport


class Offer:
    """What the host offers to one plan."""

    def __init__(self, plan: Plan, interfaces: Sequence[WitInterface]) -> None:
        """Raises UnknownImport if a resource type that is imported does not exist."""
        self._interfaces = interfaces
        self._types: dict[int, ResourceType] = {}
        self.resources: list[Resource] = []
        """The plan's resource types at run time, by their numbers."""
        shared: dict[str, Resource] = {}
        for number, each in enumerate(plan.resources):
            if each.owner is not None:
                self.resources.append(Resource(each.name, owner=each.owner, destructor=each.destructor))
                continue
            interface = self.interface(each.interface, f"the resource {each.name}")
            name = f"{interface.name}/{each.name}"
            if each.name not in interface.resources and not interface.refuses:
                raise unknown(f"{each.interface} has no resource {each.name}", each.name, interface.resources)
            if name not in shared:
                shared[name] = Resource(each.name, interface.resources.get(each.name))
            self._types[number] = HostResource(-1, name)
            self.resources.append(shared[name])

    def interface(self, wanted: str, needed: str) -> WitInterface:
        """The interface that serves an import. Raises UnknownImport."""
        for offered in self._interfaces:
            if compatible(wanted, str(offered)):
                return offered
        where = wanted or "no interface"
        names = [str(offered) for offered in self._interfaces]
        raise unknown(f"the component imports {needed} of {where}, which is not offered", wanted, names)

    def function(self, interface: str, name: str, kind: FunctionType) -> WitFunction:
        """The function that serves an import of this type. Raises UnknownImport."""
        offered = self.interface(interface, f"the function {name}")
        found = offered.functions.get(name)
        if found is None:
            if offered.refuses:
                return refusing(kind, offered.refuses, f"{interface}.{name}")
            raise unknown(f"{interface} has no function {name}", name, offered.functions)
        renamed = renumber(kind, self._types)
        if renamed != found.type:
            raise UnknownImport(
                f"{interface}.{name} is imported with another type than {offered} has",
                cause=f"the component says {describe(renamed)}; it is {describe(found.type)}",
                remedy=f"build the component with the WIT of {offered}",
            )
        return found


def unknown(message: str, wanted: str, known: Sequence[str] | dict[str, Any]) -> UnknownImport:
    """The error for an import that is not there, with the nearest names that are."""
    near = difflib.get_close_matches(wanted, list(known), n=3, cutoff=0.4)
    return UnknownImport(message, remedy=f"the nearest are {', '.join(near)}" if near else None)


def refusing(kind: FunctionType, code: str, name: str) -> WitFunction:
    """A function that answers an error code, or nothing; it ends the guest if its result can be neither."""
    error = kind.result.error if isinstance(kind.result, Result) else None
    names = error.names if isinstance(error, EnumType) else ()
    function: Callable[..., Any]
    if code in names:
        refused = Err(code)

        def function(_guest: Any, *_values: Any) -> Any:
            return refused

    elif isinstance(kind.result, Option):

        def function(_guest: Any, *_values: Any) -> Any:
            return None

    else:

        def function(_guest: Any, *_values: Any) -> Any:
            raise GuestTrap(f"the function called {name}", cause="this platform does not grant it")

    return WitFunction(kind, function, suspends=False)


def renumber(kind: FunctionType, to: dict[int, ResourceType]) -> FunctionType:
    """The same function type with resource types exchanged by their numbers."""
    fields = tuple(Field(each.name, _renumbered(each.type, to)) for each in kind.params)
    return FunctionType(fields, None if kind.result is None else _renumbered(kind.result, to))


def _renumbered(kind: ValueType, to: dict[int, ResourceType]) -> ValueType:
    def maybe(part: ValueType | None) -> ValueType | None:
        return None if part is None else _renumbered(part, to)

    match kind:
        case Own(resource):
            return Own(to.get(resource.number, resource))
        case Borrow(resource):
            return Borrow(to.get(resource.number, resource))
        case List(element, length):
            return List(_renumbered(element, to), length)
        case Tuple(elements):
            return Tuple(tuple(_renumbered(each, to) for each in elements))
        case Record(fields):
            return Record(tuple(Field(each.name, _renumbered(each.type, to)) for each in fields))
        case Variant(cases):
            return Variant(tuple(Case(each.name, maybe(each.type)) for each in cases))
        case Option(some):
            return Option(_renumbered(some, to))
        case Result(ok, error):
            return Result(maybe(ok), maybe(error))
        case _:
            return kind


def describe(kind: FunctionType) -> str:
    """A function type in a form near WIT's, for messages."""
    params = ", ".join(f"{each.name}: {_wit(each.type)}" for each in kind.params)
    return f"func({params})" + ("" if kind.result is None else f" -> {_wit(kind.result)}")


def _wit(kind: ValueType | None) -> str:
    match kind:
        case None:
            return "_"
        case Own(resource) | Borrow(resource):
            name = getattr(resource, "name", f"resource {resource.number}").rpartition("/")[2]
            return name if isinstance(kind, Own) else f"borrow<{name}>"
        case List(element, length):
            return f"list<{_wit(element)}>" if length is None else f"list<{_wit(element)}, {length}>"
        case Tuple(elements):
            return f"tuple<{', '.join(map(_wit, elements))}>"
        case Option(some):
            return f"option<{_wit(some)}>"
        case Result(None, None):
            return "result"
        case Result(ok, error):
            return f"result<{_wit(ok)}, {_wit(error)}>"
        case Record(fields):
            return f"record {{ {', '.join(f'{each.name}: {_wit(each.type)}' for each in fields)} }}"
        case Variant(cases):
            return f"variant {{ {', '.join(_case(each) for each in cases)} }}"
        case msgspec.Struct():
            return f"{type(kind).__name__.removesuffix('Type').lower()} {{ {', '.join(kind.names)} }}"
        case _:
            return kind.value


def _case(case: Case) -> str:
    return case.name if case.type is None else f"{case.name}({_wit(case.type)})"
