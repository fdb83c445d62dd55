"""Whole functions: imports as host functions over core values, exports as coroutines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from wasmind.component.abi.context import Context
from wasmind.component.abi.glue import host_call, to_memory
from wasmind.component.abi.handles import Resource, Scope
from wasmind.component.abi.layout import CoreType, Signature, parts, payloads, placement, signature
from wasmind.component.abi.lift import Flat, Lifter
from wasmind.component.abi.lower import Lowerer
from wasmind.component.abi.strings import string_loader, string_storer
from wasmind.component.abi.values import Value
from wasmind.component.plan import Lift, Options
from wasmind.component.types import (
    Borrow,
    FunctionType,
    List,
    Option,
    Own,
    Record,
    Result,
    Tuple,
    ValueType,
    Variant,
)
from wasmind.errors import GuestTrap

Arguments: TypeAlias = Callable[[Context, Flat], Sequence[Value]]
Answer: TypeAlias = Callable[[Context, Value, Flat], Any]
"""Lowers a result: gives its core value, or None if there is none or it went into memory."""


@dataclass(frozen=True, slots=True)
class CoreFunction:
    """A host function over core values: `call(guest, *core)`; i32 and i64 are unsigned Python integers.

    `call` answers None, a core value, or a tuple of as many as `results` says. One that `suspends` may also
    answer an awaitable of a function without parameters, which must be called on the guest's fiber and gives
    the answer.
    """

    params: tuple[CoreType, ...]
    results: tuple[CoreType, ...]
    call: Callable[..., Any]
    suspends: bool = False


def lower_import(
    kind: FunctionType,
    options: Options,
    context: int,
    resources: Sequence[Resource],
    function: Callable[..., Any],
    *,
    suspends: bool = False,
) -> CoreFunction:
    """Make `function(guest, *values)` callable by core code: `canon lower` of a host's function.

    `context` is the place of `options` among the run's contexts (`guest.host.contexts`). A function that
    `suspends` may answer an awaitable of its result.
    """
    types = [field.type for field in kind.params]
    core = signature(kind, "lower")
    lends = contains(types, Own) and contains(types, Borrow)
    lifter = Lifter(string_loader(options.encoding), resources, lends=lends)
    lowerer = Lowerer(string_storer(options.encoding), resources, options.instance)
    call = host_call(kind, core, context, lifter, lowerer, function, suspends=suspends, lends=lends)
    return CoreFunction(core.params, core.results, call, suspends)


def lift_export(lift: Lift, context: int, resources: Sequence[Resource]) -> Callable[..., Awaitable[Value]]:
    """Make an export callable: `await call(guest, *values)`, which is `canon lift`.

    The call raises GuestTrap. It gives None when the guest ended itself in it.
    """
    options, core, post_return = lift.options, lift.core, lift.post_return
    types = [field.type for field in lift.type.params]
    flat_type = signature(lift.type, "lift")
    lowerer = Lowerer(string_storer(options.encoding), resources, options.instance)
    lifter = Lifter(string_loader(options.encoding), resources, lends=False)
    lower, result = parameters(lowerer, types, flat_type), results(lifter, lift.type.result, flat_type)

    async def call(guest: Any, *values: Value) -> Value:
        cx: Context = guest.host.contexts[context]
        cx.scope = scope = Scope()
        flat = lower(cx, values)
        returned = await guest.call(core, *flat)
        if guest.exit_code is not None:
            return None
        cx.renew()
        value = result(cx, returned)
        check_returned(scope)
        if post_return is not None:
            cx.instance.may_leave = False
            await guest.call(post_return, *returned)
            cx.instance.may_leave = True
        return value

    return call


def arguments(lifter: Lifter, types: Sequence[ValueType], core: Signature) -> Arguments:
    """Compile the lifting of a call's arguments."""
    if core.params_in_memory:
        whole = placement(types).layout
        load = lifter.load(Tuple(tuple(types)))

        def from_memory(cx: Context, flat: Flat) -> Sequence[Value]:
            cx.check(flat[0], whole.size, whole.align)
            values: Sequence[Value] = load(cx, cx.buffer, flat[0])
            return values

        return from_memory
    lifts = lifter.lifts(types, 0)
    return lambda cx, flat: [lift(cx, flat) for lift in lifts]


def answer(lowerer: Lowerer, result: ValueType | None, core: Signature) -> Answer:
    """Compile the lowering of a result for the guest that called."""
    if result is None:
        return lambda cx, value, flat: None
    if core.result_in_memory:
        store = to_memory(result, lowerer)
        return lambda cx, value, flat: store(cx, value, flat[-1])
    single = lowerer.single(result)
    return lambda cx, value, flat: value if single is None else single(cx, value)


def parameters(
    lowerer: Lowerer, types: Sequence[ValueType], core: Signature
) -> Callable[[Context, Sequence[Value]], list[Any]]:
    """Compile the lowering of arguments for a guest's function."""
    if core.params_in_memory:
        whole = placement(types).layout
        store = lowerer.store(Tuple(tuple(types)))

        def to_memory(cx: Context, values: Sequence[Value]) -> list[Any]:
            pointer = cx.allocate(whole.align, whole.size)
            store(cx, values, pointer)
            return [pointer]

        return to_memory
    lowers = tuple(map(lowerer.lower, types))

    def to_core(cx: Context, values: Sequence[Value]) -> list[Any]:
        out: list[Any] = []
        for lower, value in zip(lowers, values, strict=True):
            lower(cx, value, out)
        return out

    return to_core


def results(lifter: Lifter, result: ValueType | None, core: Signature) -> Callable[[Context, Flat], Value]:
    """Compile the lifting of what a guest's function returned."""
    if result is None:
        return lambda cx, flat: None
    if not core.result_in_memory:
        return lifter.lift(result, 0)
    whole = placement((result,)).layout
    load = lifter.load(result)

    def from_memory(cx: Context, flat: Flat) -> Value:
        cx.check(flat[0], whole.size, whole.align)
        return load(cx, cx.buffer, flat[0])

    return from_memory


def check_returned(scope: Scope) -> None:
    """Check that a call has dropped the handles it borrowed. Raises GuestTrap."""
    if scope.borrows:
        raise GuestTrap(f"the function returned without dropping {scope.borrows} borrowed handles")


def contains(types: Sequence[ValueType], handle: type[Own | Borrow]) -> bool:
    """Whether a handle of this kind can occur in any of the types."""
    return any(isinstance(kind, handle) or contains(list(_inner(kind)), handle) for kind in types)


def _inner(kind: ValueType) -> Iterator[ValueType]:
    match kind:
        case Record() | Tuple():
            yield from parts(kind)
        case List(element):
            yield element
        case Variant() | Option() | Result():
            yield from (each for each in payloads(kind) if each is not None)
