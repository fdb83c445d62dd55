"""Canonical definitions: lifted and lowered functions and the built-ins of resources, with their checks.

CanonicalABI.md, "Canonical Definitions"; only 32-bit memories are offered.
"""

from __future__ import annotations

from wasmind.component.abi.layout import signature
from wasmind.component.assembly import Lifted, Source, SourceOptions
from wasmind.component.binary.definitions import (
    CanonLift,
    CanonLower,
    CanonOptions,
    CanonResource,
    Sort,
)
from wasmind.component.core.types import CoreFunction, CoreMemory, describe
from wasmind.component.evaluate.items import CoreItem, FuncItem, FunctionItem
from wasmind.component.evaluate.scope import Scope
from wasmind.component.evaluate.world import World
from wasmind.errors import InvalidProgram, UnsupportedFeature

REALLOC = CoreFunction(("i32",) * 4, ("i32",))
DESTRUCTOR = CoreFunction(("i32",), ())
BUILTINS = {
    "resource.new": CoreFunction(("i32",), ("i32",)),
    "resource.rep": CoreFunction(("i32",), ("i32",)),
    "resource.drop": CoreFunction(("i32",), ()),
}


def lift(scope: Scope, definition: CanonLift) -> FuncItem:
    """A component function made of a core function. Raises InvalidProgram."""
    kind = scope.type(definition.type)
    if not isinstance(kind, FunctionItem):
        raise InvalidProgram(f"type {definition.type} is lifted to and is no function type")
    core = scope.core(Sort.CORE_FUNC, definition.function)
    shape = signature(kind.type, "lift")
    flat = CoreFunction(shape.params, shape.results)
    params, result = _pointers(kind)
    options = _options(
        scope,
        definition.options,
        memory=params or result or shape.params_in_memory or shape.result_in_memory,
        realloc=params or shape.params_in_memory,
    )
    _expect(core, flat, "the lifted function")
    post = _function(scope, definition.options.post_return, CoreFunction(flat.results, ()), "post-return")
    return FuncItem(kind, Lifted(kind.type, core.source, flat, options, post))


def lower(scope: Scope, definition: CanonLower, world: World) -> CoreItem:
    """A core function that calls a component function. Raises InvalidProgram."""
    callee: FuncItem = scope.at(Sort.FUNC, definition.function)
    if definition.options.post_return is not None:
        raise InvalidProgram("a lowered function has a post-return option")
    shape = signature(callee.type.type, "lower")
    flat = CoreFunction(shape.params, shape.results)
    params, result = _pointers(callee.type)
    options = _options(
        scope,
        definition.options,
        memory=params or result or shape.params_in_memory or shape.result_in_memory,
        realloc=result,
    )
    return CoreItem(flat, world.lower(callee, flat, options))


def resource(scope: Scope, definition: CanonResource, world: World) -> CoreItem:
    """A built-in of a resource type. Raises InvalidProgram."""
    kind = scope.resource(definition.resource).type
    if definition.operation != "resource.drop" and kind not in scope.owned:
        raise InvalidProgram(f"{definition.operation} of a resource type of another component")
    flat = BUILTINS[definition.operation]
    return CoreItem(flat, world.builtin(definition.operation, kind, scope.instance, flat))


def destructor(scope: Scope, index: int | None) -> Source | None:
    """The destructor of a resource type. Raises InvalidProgram."""
    return _function(scope, index, DESTRUCTOR, "destructor")


def _pointers(kind: FunctionItem) -> tuple[bool, bool]:
    """Whether lists or strings are in the parameters, and in the result."""
    count = len(kind.type.params)
    return (
        any(part.pointers for part in kind.parts[:count]),
        any(part.pointers for part in kind.parts[count:]),
    )


def _options(scope: Scope, options: CanonOptions, *, memory: bool, realloc: bool) -> SourceOptions:
    if memory and options.memory is None:
        raise InvalidProgram("the canonical option `memory` is required")
    if realloc and options.realloc is None:
        raise InvalidProgram("the canonical option `realloc` is required")
    if options.realloc is not None and options.memory is None:
        raise InvalidProgram("the canonical option `realloc` requires `memory`")
    return SourceOptions(
        scope.instance,
        options.encoding,
        None if options.memory is None else _memory(scope, options.memory),
        _function(scope, options.realloc, REALLOC, "realloc"),
    )


def _memory(scope: Scope, index: int) -> Source:
    item = scope.core(Sort.CORE_MEMORY, index)
    if not isinstance(item.type, CoreMemory) or item.type.limits.shared:
        raise InvalidProgram("the canonical option `memory` is no memory of one thread")
    if item.type.limits.wide:
        raise UnsupportedFeature("a 64-bit memory in canonical options", remedy="compile for wasm32")
    return item.source


def _function(scope: Scope, index: int | None, wanted: CoreFunction, what: str) -> Source | None:
    if index is None:
        return None
    item = scope.core(Sort.CORE_FUNC, index)
    _expect(item, wanted, what)
    return item.source


def _expect(item: CoreItem, wanted: CoreFunction, what: str) -> None:
    if item.type != wanted:
        raise InvalidProgram(
            f"{what} has another type", cause=f"{describe(item.type)}, expected {describe(wanted)}"
        )
