"""Calls from one component instance to another: both halves of the canonical ABI, around the call itself.

Core code calls `enter` with the caller's core arguments and gets the callee's, calls the callee, then `leave`
with what it returned; after a post-return function, `exit`. So no frame of ours is on the guest's fiber while
the callee runs, and it may suspend.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from wasmind.component.abi.builtins import enter as enter_instances
from wasmind.component.abi.context import Call, Context
from wasmind.component.abi.function import (
    CoreFunction,
    answer,
    arguments,
    check_returned,
    parameters,
    results,
)
from wasmind.component.abi.handles import Resource, Scope
from wasmind.component.abi.layout import signature
from wasmind.component.abi.lift import Lifter
from wasmind.component.abi.lower import Lowerer
from wasmind.component.abi.transcode import text_loader, text_storer
from wasmind.component.plan import Adapter
from wasmind.errors import GuestTrap


@dataclass(frozen=True, slots=True)
class AdapterFunctions:
    """The host functions around one call; `exit` is needed only after a post-return function."""

    enter: CoreFunction
    leave: CoreFunction
    exit: CoreFunction


def adapt(
    adapter: Adapter, caller: int, callee: int, entered: tuple[int, ...], resources: Sequence[Resource]
) -> AdapterFunctions:
    """Make the halves of an adapter.

    `caller` and `callee` are the places of their options among the run's contexts; `entered` are the
    component instances that the call enters.
    """
    kind, post_return = adapter.type, adapter.post_return
    types = [field.type for field in kind.params]
    lowered, lifted = signature(kind, "lower"), signature(kind, "lift")
    here, there = adapter.caller, adapter.callee
    lift_arguments = arguments(Lifter(text_loader(here.encoding), resources, lends=True), types, lowered)
    forth = text_storer(here.encoding, there.encoding)
    lower_arguments = parameters(Lowerer(forth, resources, there.instance), types, lifted)
    lift_result = results(Lifter(text_loader(there.encoding), resources, lends=False), kind.result, lifted)
    back = text_storer(there.encoding, here.encoding)
    lower_result = answer(Lowerer(back, resources, here.instance), kind.result, lowered)

    to_itself = here.instance == there.instance

    def enter(guest: Any, *flat: Any) -> Any:
        a, b = _renewed(guest, caller), _renewed(guest, callee)
        a.prepare()
        if to_itself:
            raise GuestTrap("a component called a function that it lifts itself, while it was running")
        enter_instances([b.instances[each] for each in entered])
        call = Call(Scope(), [])
        outer, a.lenders = a.lenders, call.lent
        values = lift_arguments(a, flat)
        a.lenders = outer
        b.scope = call.scope
        out = lower_arguments(b, values)
        b.instance.calls.append(call)
        return tuple(out) if len(out) > 1 else out[0] if out else None

    def leave(guest: Any, *flat: Any) -> Any:
        a, b = _renewed(guest, caller), _renewed(guest, callee)
        value = lift_result(b, flat)
        call = b.instance.calls.pop()
        check_returned(call.scope)
        result = lower_result(a, value, flat)
        for handle in call.lent:
            handle.lends -= 1
        if post_return:
            b.instance.may_leave = False
        else:
            _release(b, entered)
        return result

    def exit_(guest: Any) -> None:
        b: Context = guest.host.contexts[callee]
        b.instance.may_leave = True
        _release(b, entered)

    returned = lifted.results + (("i32",) if lowered.result_in_memory else ())
    return AdapterFunctions(
        CoreFunction(lowered.params, lifted.params, enter),
        CoreFunction(returned, lowered.results, leave),
        CoreFunction((), (), exit_),
    )


def _renewed(guest: Any, context: int) -> Context:
    cx: Context = guest.host.contexts[context]
    cx.renew()
    return cx


def _release(cx: Context, entered: tuple[int, ...]) -> None:
    for each in entered:
        cx.instances[each].may_enter = True
