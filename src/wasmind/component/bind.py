"""A plan bound to what the host offers: its core imports as host functions, its exports as coroutines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeAlias

from wasmind.component import plan as plans
from wasmind.component.abi import builtins
from wasmind.component.abi.adapter import AdapterFunctions, adapt
from wasmind.component.abi.context import Context, open_contexts
from wasmind.component.abi.entry import EntryFunctions, enter_export
from wasmind.component.abi.function import CoreFunction, lift_export, lower_import
from wasmind.component.interface import WitInterface, compatible
from wasmind.component.matching import Offer
from wasmind.sandbox import Interface, Kind, Scalar

Export: TypeAlias = Callable[..., Awaitable[Any]]
"""`await export(guest, *values)`: values as in `component.abi.values`."""

_SCALARS = {
    "i32": Scalar("U32", Kind.I32, "I"),
    "i64": Scalar("U64", Kind.I64, "Q"),
    "f32": Scalar("F32", Kind.F32, "f"),
    "f64": Scalar("F64", Kind.F64, "d"),
}


class Binding:
    """What is made once when a component is loaded.

    `interfaces` are for the sandbox to link the component's core module with. Before a guest runs,
    `guest.host.contexts` must be what `open` gives.
    """

    def __init__(self, plan: plans.Plan, offered: Sequence[WitInterface]) -> None:
        """Raises UnknownImport for an import that is not offered, or of another type."""
        self._plan = plan
        self._offer = Offer(plan, offered)
        self._contexts: list[plans.Options] = []
        for options in sorted(_options(plan), key=_fullness, reverse=True):
            self._context(options)
        self._parents = tuple(each.parent for each in plan.instances)
        self._adapters: dict[int, AdapterFunctions] = {}
        self._entries: dict[int, EntryFunctions] = {}
        self._exports = {
            (each.interface, each.name): self._export(number, each.function)
            for number, each in enumerate(plan.exports)
        }
        self.interfaces = self._linked(plan)

    def open(self, guest: Any) -> list[Context]:
        """The contexts of one run."""
        return open_contexts(guest, len(self._plan.instances), self._contexts)

    def export(self, interface: str, name: str) -> Export | None:
        """An exported function, of this interface in any compatible version; None if there is none."""
        for (exported, function), call in self._exports.items():
            if function == name and compatible(interface, exported):
                return call
        return None

    def _linked(self, plan: plans.Plan) -> tuple[Interface, ...]:
        modules: dict[str, Interface] = {}
        for each in plan.imports:
            made = self._function(each.does)
            results = tuple(_SCALARS[core] for core in made.results)
            modules.setdefault(each.module, Interface(each.module)).define(
                each.name,
                made.call,
                tuple(_SCALARS[core] for core in made.params),
                results,
                finishes=made.suspends,
            )
        return tuple(modules.values())

    def _function(self, does: plans.Does) -> CoreFunction:
        resources = self._offer.resources
        match does:
            case plans.Lower(interface, name, kind, options):
                found = self._offer.function(interface, name, kind)
                return lower_import(
                    kind, options, self._context(options), resources, found.function, suspends=found.suspends
                )
            case plans.ResourceNew(resource, instance):
                return builtins.resource_new(resources[resource], self._handles(instance))
            case plans.ResourceRep(resource, instance):
                return builtins.resource_rep(resources[resource], self._handles(instance))
            case plans.ResourceDrop(resource, instance):
                entered = self._entered_by_drop(resource, instance)
                return builtins.resource_drop(resources[resource], self._handles(instance), entered)
            case plans.DropEnter(resource, instance):
                entered = self._entered_by_drop(resource, instance)
                return builtins.drop_enter(resources[resource], self._handles(instance), entered)
            case plans.DropLeave(resource, instance):
                return builtins.drop_leave(self._handles(instance), self._entered_by_drop(resource, instance))
            case plans.AdapterEnter(adapter) | plans.AdapterLeave(adapter) | plans.AdapterExit(adapter):
                return _part(self._adapter(adapter), does)
            case plans.EntryEnter(export) | plans.EntryLeave(export) | plans.EntryExit(export):
                return _part(self._entries[export], does)

    def _context(self, options: plans.Options) -> int:
        """The place of the context that serves these options: one that has what they ask for."""
        for place, kept in enumerate(self._contexts):
            if _serves(kept, options):
                return place
        self._contexts.append(options)
        return len(self._contexts) - 1

    def _handles(self, instance: int) -> int:
        return self._context(plans.Options(instance))

    def _entered_by_drop(self, resource: int, instance: int) -> tuple[int, ...]:
        owner = self._offer.resources[resource].owner
        return () if owner is None else builtins.entered(owner, instance, self._parents)

    def _adapter(self, number: int) -> AdapterFunctions:
        if number not in self._adapters:
            adapter = self._plan.adapters[number]
            caller, callee = adapter.caller, adapter.callee
            entered = builtins.entered(callee.instance, caller.instance, self._parents)
            places = self._context(caller), self._context(callee)
            self._adapters[number] = adapt(adapter, *places, entered, self._offer.resources)
        return self._adapters[number]

    def _export(self, number: int, function: plans.Lift | plans.Forward) -> Export:
        if isinstance(function, plans.Lift):
            context, resources = self._context(function.options), self._offer.resources
            if function.entry is None:
                return lift_export(function, context, resources)
            self._entries[number] = enter_export(function, function.entry, context, resources)
            return self._entries[number].call
        found = self._offer.function(function.interface, function.name, function.type).function

        async def call(guest: Any, *values: Any) -> Any:
            answer = found(guest, *values)
            return await answer if hasattr(answer, "__await__") else answer

        return call


def _options(plan: plans.Plan) -> Iterator[plans.Options]:
    """All options of a plan."""
    for each in plan.imports:
        if isinstance(each.does, plans.Lower):
            yield each.does.options
    for adapter in plan.adapters:
        yield from (adapter.caller, adapter.callee)
    for export in plan.exports:
        if isinstance(export.function, plans.Lift):
            yield export.function.options


def _fullness(options: plans.Options) -> tuple[bool, bool]:
    return options.memory is not None, options.realloc is not None


def _serves(kept: plans.Options, options: plans.Options) -> bool:
    """Whether a context with `kept` may be used for `options`: it has all that they name."""
    return (
        kept.instance == options.instance
        and options.memory in (None, kept.memory)
        and options.realloc in (None, kept.realloc)
    )


def _part(functions: AdapterFunctions | EntryFunctions, does: plans.Does) -> CoreFunction:
    """The host function of an adapter or an entry that comes before, after, or at the end of the call."""
    match does:
        case plans.AdapterEnter() | plans.EntryEnter():
            return functions.enter
        case plans.AdapterLeave() | plans.EntryLeave():
            return functions.leave
        case _:
            return functions.exit
