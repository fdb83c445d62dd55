"""Calls from the host whose arguments need the guest's allocator, or that clean up behind them.

Core code makes the whole call: `enter` lowers the arguments, it calls the function itself, `leave` lifts what
that returned, and after a post-return function it calls `exit`. So all that the guest runs runs on its fiber,
metered and able to suspend, and the host makes one call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from wasmind.component.abi.context import Context
from wasmind.component.abi.function import CoreFunction, check_returned, parameters, results
from wasmind.component.abi.handles import Resource, Scope
from wasmind.component.abi.layout import signature
from wasmind.component.abi.lift import Lifter
from wasmind.component.abi.lower import Lowerer
from wasmind.component.abi.strings import string_loader, string_storer
from wasmind.component.abi.values import Value
from wasmind.component.plan import Lift


@dataclass(frozen=True, slots=True)
class EntryFunctions:
    """The host functions around a call from the host, and the call: `await call(guest, *values)`."""

    enter: CoreFunction
    leave: CoreFunction
    exit: CoreFunction
    call: Callable[..., Awaitable[Value]]


def enter_export(lift: Lift, entry: str, context: int, resources: Sequence[Resource]) -> EntryFunctions:
    """Make an export callable through its entry, as `lift_export` does."""
    options, post_return = lift.options, lift.post_return is not None
    types = [field.type for field in lift.type.params]
    flat_type = signature(lift.type, "lift")
    lowerer = Lowerer(string_storer(options.encoding), resources, options.instance)
    lifter = Lifter(string_loader(options.encoding), resources, lends=False)
    lower = parameters(lowerer, types, flat_type)
    result = results(lifter, lift.type.result, flat_type)

    def enter(guest: Any) -> Any:
        cx: Context = guest.host.contexts[context]
        cx.renew()
        out = lower(cx, cx.exchange)
        return tuple(out) if len(out) > 1 else out[0] if out else None

    def leave(guest: Any, *flat: Any) -> None:
        cx: Context = guest.host.contexts[context]
        cx.renew()
        cx.exchange = result(cx, flat)
        check_returned(cx.scope)
        cx.instance.may_leave = not post_return

    def exit_(guest: Any) -> None:
        cx: Context = guest.host.contexts[context]
        cx.instance.may_leave = True

    async def call(guest: Any, *values: Value) -> Value:
        cx: Context = guest.host.contexts[context]
        cx.scope, cx.exchange = Scope(), values
        await guest.call(entry)
        value, cx.exchange = cx.exchange, None
        return value if guest.exit_code is None else None

    return EntryFunctions(
        CoreFunction((), flat_type.params, enter),
        CoreFunction(flat_type.results, (), leave),
        CoreFunction((), (), exit_),
        call,
    )
