"""The function around a call of the host, written out for its signature: no call loops over it.

What is written are fixed words and numbers; no name of a component gets in. For a method with a string and a
result in memory it reads::

    def call(guest, a0, a1, a2, a3):
        cx = guest.host.contexts[0]
        if cx.wary or not cx.instance.may_leave:
            cx.prepare()
        cx.budget = 268435456
        value = f(guest, f0(cx, a0), f1(cx, a1, a2))
        return lower(cx, value, a3)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wasmind.component.abi.context import BUDGET, Context
from wasmind.component.abi.later import Later
from wasmind.component.abi.layout import Signature, flatten, placement
from wasmind.component.abi.lift import Lifter
from wasmind.component.abi.lower import Lowerer
from wasmind.component.abi.values import Value
from wasmind.component.types import Borrow, FunctionType, Own, Primitive, Tuple, ValueType

_FREE = frozenset(Primitive) - {Primitive.STRING}


def host_call(
    kind: FunctionType,
    core: Signature,
    context: int,
    lifter: Lifter,
    lowerer: Lowerer,
    function: Callable[..., Any],
    *,
    suspends: bool,
    lends: bool,
) -> Callable[..., Any]:
    """Make `call(guest, *core values)`, which lifts, calls `function(guest, *values)` and lowers."""
    objects: dict[str, object] = {"f": function, "Later": Later}
    types = [field.type for field in kind.params]
    lines = [
        f"cx = guest.host.contexts[{context}]",
        "if cx.wary or not cx.instance.may_leave:",
        "    cx.prepare()",
    ]
    if not all(each in _FREE or isinstance(each, Own | Borrow) for each in types):
        lines.append(f"cx.budget = {BUDGET}")
    arguments = ", ".join(["guest", *_arguments(types, core, lifter, objects)])
    if lends:
        lines += [f"arguments = ({arguments},)", "cx.return_lent()"]
        arguments = "*arguments"
    lines.append(f"value = f({arguments})")
    lowered = _answer(kind.result, core, lowerer, objects)
    if suspends:  # lowering may call the guest, so it is done on its fiber: by what the wait gives
        lines += [
            'if hasattr(value, "__await__"):',
            f"    return Later(value, lambda value: lambda: {lowered})",
        ]
    lines.append(f"return {lowered}")
    names = ", ".join(["guest", *(f"a{at}" for at in range(len(core.params)))])
    source = f"def call({names}):\n    " + "\n    ".join(lines)
    exec(compile(source, "<canonical ABI>", "exec"), objects)  # noqa: S102 - see above: our own words alone
    made: Callable[..., Any] = objects["call"]  # type: ignore[assignment]  # just defined
    return made


def _arguments(
    types: Sequence[ValueType], core: Signature, lifter: Lifter, objects: dict[str, object]
) -> list[str]:
    """An expression for each argument."""
    if core.params_in_memory:
        objects["load"] = _from_memory(types, lifter)
        return ["*load(cx, a0)"]
    found, at = [], 0
    for number, kind in enumerate(types):
        expression, target = lifter.expression(kind, at)
        if target is not None:
            objects[f"f{number}"] = target
        found.append(expression.format(f"f{number}"))
        at += len(flatten((kind,), len(core.params)))
    return found


def _answer(result: ValueType | None, core: Signature, lowerer: Lowerer, objects: dict[str, object]) -> str:
    """An expression for what core code gets of `value`."""
    if result is None:
        return "None"
    if core.result_in_memory:
        objects["lower"] = to_memory(result, lowerer)
        return f"lower(cx, value, a{len(core.params) - 1})"
    single = lowerer.single(result)
    if single is None:
        return "value"
    objects["lower"] = single
    return "lower(cx, value)"


def _from_memory(types: Sequence[ValueType], lifter: Lifter) -> Callable[[Context, int], Value]:
    whole = placement(types).layout
    load = lifter.load(Tuple(tuple(types)))

    def load_all(cx: Context, pointer: int) -> Value:
        cx.check(pointer, whole.size, whole.align)
        return load(cx, cx.buffer, pointer)

    return load_all


def to_memory(result: ValueType, lowerer: Lowerer) -> Callable[[Context, Value, int], None]:
    """Compile the writing of a result to where the caller wants it."""
    whole = placement((result,)).layout
    size, low = whole.size, whole.align - 1
    store = lowerer.store(result)

    def lower(cx: Context, value: Value, pointer: int) -> None:
        if pointer & low or pointer + size > len(cx.buffer):
            cx.check(pointer, size, low + 1)
        store(cx, value, pointer)

    return lower
