"""Evaluating components: definitions in order, each giving an index its meaning (Explainer.md).

A component is checked once, with imports of which only the types are known, and then evaluated for real; a
nested component is evaluated each time it is instantiated, since every instance has resource types of its
own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wasmind.component.assembly import FromInstance, Source
from wasmind.component.binary import definitions as d
from wasmind.component.binary.definitions import Definition, Sort
from wasmind.component.core.module import CoreModule, Span, read_module
from wasmind.component.core.types import CoreFunction, describe, matches
from wasmind.component.evaluate import canon
from wasmind.component.evaluate.items import (
    BodyItem,
    ComponentItem,
    CoreInstanceItem,
    CoreItem,
    InstanceItem,
    Item,
    ModuleItem,
    ResourceItem,
    TypeItem,
    ValueItem,
)
from wasmind.component.evaluate.matching import fit, fresh, given, make, renamed
from wasmind.component.evaluate.modules import module_type, module_type_of
from wasmind.component.evaluate.scope import Give, Names, Scope, sort_of
from wasmind.component.evaluate.values import define_function, define_value
from wasmind.component.evaluate.visibility import exposed, names
from wasmind.component.evaluate.world import World
from wasmind.errors import InvalidProgram, ProgramTooLarge

MAX_STEPS = 200_000
"""How many definitions may be evaluated, counting those of a component for each of its instances."""
_STEPS_PER_BODY = 10
MAX_DEPTH = 50
"""How deep instances may be made within the making of others."""


class Evaluator:
    """Evaluates one component binary in a world."""

    def __init__(self, data: bytes, world: World, modules: dict[int, CoreModule] | None = None) -> None:
        self.data = data
        self.world = world
        self.modules: dict[int, CoreModule] = {} if modules is None else modules
        """The core modules that were read, by offset."""
        self._checked: set[d.Component] = set()
        self._steps = 0
        self._depth = 0
        self._handlers: dict[type[Definition], Callable[[Scope, Any], None]] = {
            d.DefineModule: self._module,
            d.DefineComponent: self._component,
            d.DefineCoreType: self._core_type,
            d.DefineType: self._type,
            d.CoreInstantiate: self._core_instantiate,
            d.CoreBundle: self._core_bundle,
            d.Instantiate: self._instantiate,
            d.Bundle: self._bundle,
            d.AliasExport: self._alias_export,
            d.AliasOuter: self._alias_outer,
            d.CanonLift: self._lift,
            d.CanonLower: self._lower,
            d.CanonResource: self._resource,
            d.Import: self._import,
            d.Export: self._export,
            d.ExportDeclaration: self._export_declaration,
        }

    def root(self, component: d.Component) -> Scope:
        """Evaluate a whole component, whose imports are whatever the host will give."""
        return self.run_component(component, None, fresh(self, ()), 0)

    def run_component(self, component: d.Component, parent: Scope | None, give: Give, instance: int) -> Scope:
        """Evaluate a component's definitions, as one instance of it."""
        scope = Scope(parent, is_type=False, instance=instance, give_import=give)
        scope.checks = not self.world.concrete
        self._run(scope, component.body)
        return scope

    def run_type(
        self, item: BodyItem, give_import: Give | None, give_export: Give, *, checks: bool = False
    ) -> Scope:
        """Evaluate the declarations of a component or instance type."""
        scope = Scope(item.scope, is_type=True, give_import=give_import, give_export=give_export)
        scope.checks = checks
        self._run(scope, item.body)
        return scope

    def _run(self, scope: Scope, body: Sequence[Definition]) -> None:
        self._steps += len(body) + _STEPS_PER_BODY
        if self._steps > MAX_STEPS:
            raise ProgramTooLarge(
                "the component makes too many instances", cause=f"more than {MAX_STEPS} definitions"
            )
        if self._depth >= MAX_DEPTH:
            raise ProgramTooLarge(f"the component's instances nest deeper than {MAX_DEPTH}")
        self._depth += 1
        definition = None
        try:
            for definition in body:
                self._handlers[type(definition)](scope, definition)
        except InvalidProgram as error:
            raise _placed(error, definition) from error
        finally:
            self._depth -= 1

    # --- definitions of core WebAssembly ---------------------------------------------------------------

    def _module(self, scope: Scope, definition: d.DefineModule) -> None:
        span = Span(definition.at, definition.end)
        module = self.modules.get(span.at)
        if module is None:
            module = self.modules[span.at] = read_module(self.data, span)
        scope.add(Sort.CORE_MODULE, ModuleItem(module_type_of(module), span))

    def _core_type(self, scope: Scope, definition: d.DefineCoreType) -> None:
        kind = definition.type
        scope.add(
            Sort.CORE_TYPE, kind if isinstance(kind, CoreFunction) else module_type(scope, kind, self._outer)
        )

    def _core_instantiate(self, scope: Scope, definition: d.CoreInstantiate) -> None:
        module: ModuleItem = scope.at(Sort.CORE_MODULE, definition.module)
        arguments: dict[str, CoreInstanceItem] = {}
        for name, index in definition.arguments:
            if name in arguments:
                raise InvalidProgram(f"the argument {name!r} is there twice")
            arguments[name] = scope.at(Sort.CORE_INSTANCE, index)
        sources: list[Source] = []
        for (source, name), wanted in module.type.imports.items():
            bundle = arguments.get(source)
            found = None if bundle is None else bundle.exports.get(name)
            if found is None:
                raise InvalidProgram(f"a core module imports {name!r} of {source!r}, which is not given")
            if not matches(found.type, wanted):
                raise InvalidProgram(
                    f"a core module imports {name!r} of {source!r} as another type",
                    cause=f"it is {describe(found.type)}, expected is {describe(wanted)}",
                )
            sources.append(found.source)
        number = self.world.core_instance(module.span, sources)
        exports = {
            name: CoreItem(kind, FromInstance(number, name)) for name, kind in module.type.exports.items()
        }
        scope.add(Sort.CORE_INSTANCE, CoreInstanceItem(exports))

    def _core_bundle(self, scope: Scope, definition: d.CoreBundle) -> None:
        exports: dict[str, CoreItem] = {}
        for name, sort, index in definition.exports:
            if name in exports:
                raise InvalidProgram(f"the core export {name!r} is there twice")
            if sort not in _CORE_ITEMS:
                raise InvalidProgram(f"a {sort.value} is no part of a core instance")
            exports[name] = scope.core(sort, index)
        scope.add(Sort.CORE_INSTANCE, CoreInstanceItem(exports))

    # --- components and instances ----------------------------------------------------------------------

    def _component(self, scope: Scope, definition: d.DefineComponent) -> None:
        component = definition.component
        if not self.world.concrete and component not in self._checked:
            self._checked.add(component)
            self.run_component(component, scope, fresh(self, ()), 0)
        scope.add(Sort.COMPONENT, ComponentItem(component, scope))

    def _instantiate(self, scope: Scope, definition: d.Instantiate) -> None:
        arguments: dict[str, Item] = {}
        for name, sort, index in definition.arguments:
            if name in arguments:
                raise InvalidProgram(f"the argument {name!r} is there twice")
            arguments[name] = scope.item(sort, index)
        component: ComponentItem = scope.at(Sort.COMPONENT, definition.component)
        scope.add(Sort.INSTANCE, self.instantiate(component, arguments, scope.instance))

    def instantiate(
        self, component: ComponentItem, arguments: Mapping[str, Item], parent: int
    ) -> InstanceItem:
        """Make an instance of a component."""
        give = given(self, arguments, "import")
        if isinstance(component.definition, BodyItem):
            scope = self.run_type(component.definition, give, fresh(self, ()))
        else:
            instance = self.world.component_instance(parent)
            scope = self.run_component(component.definition, component.scope, give, instance)
        return InstanceItem(scope.exports.items)

    def _bundle(self, scope: Scope, definition: d.Bundle) -> None:
        exports = Names("export")
        for name, sort, index in definition.exports:
            item = scope.item(sort, index)
            exports.add(name, renamed(item) if isinstance(item, ResourceItem | ValueItem) else item)
        scope.add(Sort.INSTANCE, InstanceItem(exports.items))

    def _alias_export(self, scope: Scope, definition: d.AliasExport) -> None:
        exports: Mapping[str, Any]
        if definition.core:
            exports = scope.at(Sort.CORE_INSTANCE, definition.instance).exports
            right = definition.sort in _CORE_ITEMS
        else:
            exports = scope.at(Sort.INSTANCE, definition.instance).exports
            right = definition.sort not in _CORE_ITEMS
        item = exports.get(definition.name)
        if item is None:
            raise InvalidProgram(f"the instance exports no {definition.name!r}")
        sort = _core_sort(item) if isinstance(item, CoreItem) else sort_of(item)
        if not right or sort is not definition.sort:
            raise InvalidProgram(
                f"the export {definition.name!r} is a {sort.value}, no {definition.sort.value}"
            )
        if scope.is_type and sort not in (Sort.INSTANCE, Sort.TYPE):
            raise InvalidProgram(f"a type has no alias of a {sort.value}")
        scope.add(sort, item)

    def _alias_outer(self, scope: Scope, definition: d.AliasOuter) -> None:
        if scope.is_type and definition.sort not in (Sort.TYPE, Sort.CORE_TYPE):
            raise InvalidProgram(f"a type has no alias of a {definition.sort.value}")
        scope.add(definition.sort, self._outer(scope, definition.sort, definition.count, definition.index))

    def _outer(self, scope: Scope, sort: Sort, count: int, index: int) -> Any:
        target, crossed = scope, []
        for _ in range(count):
            crossed.append(target)
            if target.parent is None:
                raise InvalidProgram(f"there is nothing {count} levels around an alias")
            target = target.parent
        item = target.at(sort, index)
        if sort is Sort.TYPE and (isinstance(item, ResourceItem) or item.resources):
            for each in crossed:
                if not each.is_type:
                    raise InvalidProgram("a type with resources is aliased across a component's border")
                each.refers = True
        return item

    # --- types -----------------------------------------------------------------------------------------

    def _type(self, scope: Scope, definition: d.DefineType) -> None:
        kind = definition.type
        item: TypeItem
        match kind:
            case d.ResourceDef():
                item = self._resource_type(scope, kind)
            case d.FuncDef():
                item = define_function(kind, scope.type)
            case d.InstanceTypeDef() | d.ComponentTypeDef():
                item = BodyItem(kind.body, scope, isinstance(kind, d.ComponentTypeDef))
                if not self.world.concrete:
                    inner = self.run_type(item, fresh(self, ()), fresh(self, ()), checks=item.component)
                    item.resources = inner.refers
            case _:
                item = define_value(kind, scope.type)
        scope.add(Sort.TYPE, item)

    def _resource_type(self, scope: Scope, kind: d.ResourceDef) -> ResourceItem:
        if scope.is_type:
            raise InvalidProgram("a resource type is defined within a type")
        made = self.world.resource("", "", scope.instance, canon.destructor(scope, kind.destructor))
        scope.owned.add(made)
        return ResourceItem(made)

    # --- canonical definitions -------------------------------------------------------------------------

    def _lift(self, scope: Scope, definition: d.CanonLift) -> None:
        scope.add(Sort.FUNC, canon.lift(scope, definition))

    def _lower(self, scope: Scope, definition: d.CanonLower) -> None:
        scope.add(Sort.CORE_FUNC, canon.lower(scope, definition, self.world))

    def _resource(self, scope: Scope, definition: d.CanonResource) -> None:
        scope.add(Sort.CORE_FUNC, canon.resource(scope, definition, self.world))

    # --- imports and exports ---------------------------------------------------------------------------

    def _import(self, scope: Scope, definition: d.Import) -> None:
        if scope.give_import is None:
            raise InvalidProgram("an instance type imports")
        item = scope.give_import(definition.name, definition.type, scope)
        scope.imports.add(definition.name, item)
        _check_implements(definition.name, definition.implements, item)
        if scope.checks:
            self._check_exposed(f"import {definition.name!r}", item, scope.imports.types)
            scope.imports.types |= names(item)
        scope.add(definition.type.sort, item)

    def _export(self, scope: Scope, definition: d.Export) -> None:
        item = scope.item(definition.sort, definition.index)
        name = definition.name
        if definition.type is not None:
            item = fit(self, name, item, definition.type, scope)
            if not self.world.concrete and isinstance(item, ResourceItem | InstanceItem):
                # From here on, only what the ascribed type says is known.
                item = make(self, (), name, definition.type, scope)
        if isinstance(item, ResourceItem | ValueItem):
            item = renamed(item)
        _check_implements(name, definition.implements, item)
        if self.world.concrete:
            self._name_resources("", name, item)
        else:
            self._check_exposed(f"export {name!r}", item, scope.imports.types | scope.exports.types)
            scope.exports.types |= names(item)
            if isinstance(item, ValueItem) and item.borrows:
                raise InvalidProgram(f"the exported type {name!r} has a borrowed handle in it")
        scope.exports.add(name, item)
        scope.add(definition.sort, item)

    def _name_resources(self, interface: str, name: str, item: Item) -> None:
        if isinstance(item, ResourceItem):
            self.world.name_resource(item.type, interface, name)
        elif isinstance(item, InstanceItem):
            for key, export in item.exports.items():
                if isinstance(export, ResourceItem):
                    self.world.name_resource(export.type, name, key)

    def _export_declaration(self, scope: Scope, definition: d.ExportDeclaration) -> None:
        if scope.give_export is None:
            raise InvalidProgram("an export is declared outside of a type")
        item = scope.give_export(definition.name, definition.type, scope)
        _check_implements(definition.name, definition.implements, item)
        if scope.checks:
            types = scope.imports.types | scope.exports.types
            self._check_exposed(f"export {definition.name!r}", item, types)
            scope.exports.types |= names(item)
        scope.exports.add(definition.name, item)
        scope.add(definition.type.sort, item)

    def _check_exposed(self, what: str, item: Item, types: set[TypeItem]) -> None:
        shown = item
        if isinstance(item, BodyItem) and not item.component:
            shown = InstanceItem(self.run_type(item, None, fresh(self, ())).exports.items)
        if not exposed(shown, types):
            raise InvalidProgram(f"the {what} uses a type that has no name outside")


_CORE_ITEMS = (Sort.CORE_FUNC, Sort.CORE_TABLE, Sort.CORE_MEMORY, Sort.CORE_GLOBAL, Sort.CORE_TAG)
_CORE_KINDS = {
    "CoreFunction": Sort.CORE_FUNC,
    "CoreTable": Sort.CORE_TABLE,
    "CoreMemory": Sort.CORE_MEMORY,
    "CoreGlobal": Sort.CORE_GLOBAL,
    "CoreTag": Sort.CORE_TAG,
}


def _check_implements(name: str, implements: str | None, item: Item) -> None:
    if implements is not None and not isinstance(item, InstanceItem):
        raise InvalidProgram(f"{name!r} implements an interface and is no instance")


def _core_sort(item: CoreItem) -> Sort:
    return _CORE_KINDS[type(item.type).__name__]


def _placed(error: InvalidProgram, definition: Definition | None) -> InvalidProgram:
    """The error with the offset of the definition that is at fault; the innermost is told."""
    if definition is None or "at byte " in error.message:
        return error
    return InvalidProgram(
        f"{error.message} (at byte {definition.at})", cause=error.cause, remedy=error.remedy
    )
