"""`canon resource.new`, `.rep` and `.drop` (CanonicalABI.md, "Canonical Definitions")."""

from __future__ import annotations

from typing import Any

from wasmind.component.abi.context import Context, Instance
from wasmind.component.abi.function import CoreFunction
from wasmind.component.abi.handles import Handle, Resource
from wasmind.errors import GuestTrap


def resource_new(resource: Resource, context: int) -> CoreFunction:
    """(representation) -> handle, for the component instance that implements the resource."""

    def call(guest: Any, representation: int) -> int:
        return _entered(guest, context).handles.add(Handle(resource, representation))

    return CoreFunction(("i32",), ("i32",), call)


def resource_rep(resource: Resource, context: int) -> CoreFunction:
    """(handle) -> representation, for the component instance that implements the resource."""

    def call(guest: Any, index: int) -> Any:
        cx: Context = guest.host.contexts[context]
        return cx.handles.get(index, resource).representation

    return CoreFunction(("i32",), ("i32",), call)


def resource_drop(resource: Resource, context: int, entered: tuple[int, ...] = ()) -> CoreFunction:
    """(handle) -> (), for a host's resource, or one without a destructor.

    `entered` are the component instances that a destructor would enter.
    """
    drop = resource.drop

    def call(guest: Any, index: int) -> None:
        cx = _entered(guest, context)
        handle = cx.handles.take(index, resource)
        if handle.scope is not None:
            handle.scope.borrows -= 1
            return
        if entered:
            check_may_enter([cx.instances[each] for each in entered])
        if drop is not None:
            drop(guest, handle.representation)

    return CoreFunction(("i32",), (), call)


def drop_enter(resource: Resource, context: int, entered: tuple[int, ...]) -> CoreFunction:
    """(handle) -> (call, representation): `call` is 1 if the destructor must be called now."""

    def call(guest: Any, index: int) -> tuple[int, int]:
        cx = _entered(guest, context)
        handle = cx.handles.take(index, resource)
        if handle.scope is not None:
            handle.scope.borrows -= 1
            return 0, 0
        enter([cx.instances[each] for each in entered])
        return 1, handle.representation

    return CoreFunction(("i32",), ("i32", "i32"), call)


def drop_leave(context: int, entered: tuple[int, ...]) -> CoreFunction:
    """() -> (): the destructor has returned."""

    def call(guest: Any) -> None:
        cx: Context = guest.host.contexts[context]
        for each in entered:
            cx.instances[each].may_enter = True

    return CoreFunction((), (), call)


def check_may_enter(instances: list[Instance]) -> None:
    """Check that none of them is being called already. Raises GuestTrap."""
    if not all(each.may_enter for each in instances):
        raise GuestTrap("a component was called while a call into it was under way")


def enter(instances: list[Instance]) -> None:
    """Enter component instances until the call returns. Raises GuestTrap."""
    check_may_enter(instances)
    for each in instances:
        each.may_enter = False


def entered(callee: int, caller: int, parents: tuple[int | None, ...]) -> tuple[int, ...]:
    """The component instances a call enters: the callee and its ancestors, without the caller's."""
    inside = set(_lineage(caller, parents))
    return tuple(each for each in _lineage(callee, parents) if each not in inside)


def _lineage(instance: int | None, parents: tuple[int | None, ...]) -> list[int]:
    found = []
    while instance is not None:
        found.append(instance)
        instance = parents[instance]
    return found


def _entered(guest: Any, context: int) -> Context:
    cx: Context = guest.host.contexts[context]
    if not cx.instance.may_leave:
        cx.prepare()
    return cx
