"""Imports and exports as they are described: made anew where nothing is given, compared where something is.

Explainer.md, "Type Checking": a type import is replaced by what is given for it in everything that follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from wasmind.component.binary.definitions import ExternDesc, Sort
from wasmind.component.core.types import describe, matches
from wasmind.component.evaluate.items import (
    BodyItem,
    ComponentItem,
    FuncItem,
    FunctionItem,
    Imported,
    InstanceItem,
    Item,
    ModuleItem,
    ModuleTypeItem,
    ResourceItem,
    TypeItem,
    ValueItem,
)
from wasmind.component.evaluate.scope import Give, Scope, sort_of
from wasmind.component.evaluate.world import World
from wasmind.errors import InvalidProgram, UnsupportedFeature


class Runs(Protocol):
    """What matching needs of the evaluator."""

    world: World

    def run_type(
        self, item: BodyItem, give_import: Give | None, give_export: Give, *, checks: bool = False
    ) -> Scope:
        """Evaluate the body of a component or instance type."""

    def instantiate(
        self, component: ComponentItem, arguments: Mapping[str, Item], parent: int
    ) -> InstanceItem:
        """Make an instance."""


def fresh(runs: Runs, path: tuple[str, ...]) -> Give:
    """Gives what only its description is known of; `path` are the names of the instances around it."""

    def give(name: str, desc: ExternDesc, scope: Scope) -> Item:
        return make(runs, path, name, desc, scope)

    return give


def make(runs: Runs, path: tuple[str, ...], name: str, desc: ExternDesc, scope: Scope) -> Item:
    """A new item of a description. Raises InvalidProgram, or UnsupportedFeature if no host provides such."""
    match desc.sort:
        case Sort.FUNC:
            return FuncItem(_function(scope, desc), Imported("/".join(path), name))
        case Sort.TYPE if desc.index is None:
            return ResourceItem(runs.world.resource("/".join(path), name, None, None))
        case Sort.TYPE:
            return renamed(scope.type(_index(desc)))
        case Sort.INSTANCE:
            body = _body(scope, desc, component=False)
            return InstanceItem(runs.run_type(body, None, fresh(runs, (*path, name))).exports.items)
    if runs.world.concrete:
        raise UnsupportedFeature(
            f"the component imports a {desc.sort.value}, {name!r}",
            cause="only functions, resources and instances are provided",
            remedy="compose it with what it imports (wac, wasm-tools compose)",
        )
    if desc.sort is Sort.COMPONENT:
        return ComponentItem(_body(scope, desc, component=True), scope)
    return ModuleItem(_module_type(scope, desc), None)


def given(runs: Runs, items: Mapping[str, Item], what: str) -> Give:
    """Gives what is in `items`, if it fits the description."""

    def give(name: str, desc: ExternDesc, scope: Scope) -> Item:
        item = items.get(name)
        if item is None:
            raise InvalidProgram(f"the {what} {name!r} is missing")
        return fit(runs, name, item, desc, scope)

    return give


def fit(runs: Runs, name: str, item: Item, desc: ExternDesc, scope: Scope) -> Item:
    """The item as what it is described to be. Raises InvalidProgram."""
    if sort_of(item) is not desc.sort:
        raise InvalidProgram(f"{name!r} is a {sort_of(item).value}, a {desc.sort.value} is expected")
    match item:
        case FuncItem():
            wanted = _function(scope, desc)
            if item.type.type != wanted.type:
                raise InvalidProgram(f"the function {name!r} has another type than is expected")
            return FuncItem(wanted, item.origin)
        case InstanceItem():
            body = _body(scope, desc, component=False)
            return InstanceItem(runs.run_type(body, None, given(runs, item.exports, "export")).exports.items)
        case ModuleItem():
            _fit_module(name, item.type, _module_type(scope, desc))
            return item
        case ComponentItem():
            if not runs.world.concrete:
                _fit_component(runs, name, item, _body(scope, desc, component=True))
            return item
        case _:
            return _fit_type(runs, name, item, desc, scope)


def _fit_type(runs: Runs, name: str, item: TypeItem, desc: ExternDesc, scope: Scope) -> TypeItem:
    if desc.index is None:
        if not isinstance(item, ResourceItem):
            raise InvalidProgram(f"the type {name!r} is no resource type")
        return item
    if not same_type(runs, item, scope.type(desc.index)):
        raise InvalidProgram(f"the type {name!r} is another type than is expected")
    return item


def same_type(runs: Runs, one: TypeItem, other: TypeItem) -> bool:
    """Whether two definitions mean the same type."""
    match one, other:
        case (ResourceItem(), ResourceItem()):
            return one.type == other.type
        case (ValueItem(), ValueItem()):
            return one.type == other.type
        case (FunctionItem(), FunctionItem()):
            return one.type == other.type
        case (BodyItem(), BodyItem()):
            return (
                one is other
                or one.body is other.body
                or (one.component == other.component and _fits(runs, one, other) and _fits(runs, other, one))
            )
    return False


def _fits(runs: Runs, one: BodyItem, other: BodyItem) -> bool:
    try:
        if one.component:
            _fit_component(runs, "", ComponentItem(one, one.scope), other)
        else:
            made = runs.run_type(one, None, fresh(runs, ()))
            runs.run_type(other, None, given(runs, made.exports.items, "export"))
    except InvalidProgram:
        return False
    return True


def _fit_module(name: str, found: ModuleTypeItem, wanted: ModuleTypeItem) -> None:
    for key, kind in found.imports.items():
        offered = wanted.imports.get(key)
        if offered is None or not matches(offered, kind):
            raise InvalidProgram(f"the core module {name!r} imports {'.'.join(key)!r} as {describe(kind)}")
    for export, kind in wanted.exports.items():
        there = found.exports.get(export)
        if there is None or not matches(there, kind):
            raise InvalidProgram(f"the core module {name!r} does not export {export!r} as {describe(kind)}")


def _fit_component(runs: Runs, name: str, item: ComponentItem, wanted: BodyItem) -> None:
    """Give the component the imports of the wanted type, and see whether it exports what that does."""
    try:
        outline = runs.run_type(wanted, fresh(runs, ()), fresh(runs, ()))
        imports = outline.imports.items
        made = runs.instantiate(item, imports, 0)
        runs.run_type(wanted, lambda key, desc, scope: imports[key], given(runs, made.exports, "export"))
    except InvalidProgram as error:
        raise InvalidProgram(f"the component {name!r} is of another type", cause=error.explain()) from error


def renamed(item: TypeItem) -> TypeItem:
    """The same type as another definition, since only that one has a name outside."""
    return replace(item) if isinstance(item, ResourceItem | ValueItem) else item


def _index(desc: ExternDesc) -> int:
    if desc.index is None:
        raise InvalidProgram(f"a {desc.sort.value} without a type")
    return desc.index


def _function(scope: Scope, desc: ExternDesc) -> FunctionItem:
    item = scope.type(_index(desc))
    if not isinstance(item, FunctionItem):
        raise InvalidProgram(f"type {desc.index} is used as a function's and is none")
    return item


def _body(scope: Scope, desc: ExternDesc, *, component: bool) -> BodyItem:
    item = scope.type(_index(desc))
    if not isinstance(item, BodyItem) or item.component is not component:
        raise InvalidProgram(
            f"type {desc.index} is used as a{' component' if component else 'n instance'}'s and is none"
        )
    return item


def _module_type(scope: Scope, desc: ExternDesc) -> ModuleTypeItem:
    item = scope.at(Sort.CORE_TYPE, _index(desc))
    if not isinstance(item, ModuleTypeItem):
        raise InvalidProgram(f"core type {desc.index} is used as a module's and is none")
    return item
