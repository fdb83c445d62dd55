"""How the cases of variants, enums, options and results are told from each other in Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from wasmind.component.abi.values import Err, Ok, Some, Value
from wasmind.component.types import EnumType, Option, Result, Variant

Cased: TypeAlias = Variant | EnumType | Option | Result
Make: TypeAlias = Callable[[Value], Value]
Choose: TypeAlias = Callable[[Value], tuple[int, Value]]


def constants(kind: Cased) -> list[Value]:
    """For each case, its value when it has no payload."""
    match kind:
        case Variant(cases):
            return [case.name for case in cases]
        case EnumType(names):
            return list(names)
        case Option():
            return [None, None]
        case Result():
            return [Ok(None), Err(None)]


def makers(kind: Cased) -> list[Make]:
    """For each case, what makes its value of a payload."""
    match kind:
        case Variant(cases):
            return [_pair_with(case.name) for case in cases]
        case EnumType(names):
            return [_same] * len(names)
        case Option(some):
            return [_same, Some if isinstance(some, Option) else _same]
        case Result():
            return [Ok, Err]


def chooser(kind: Cased) -> Choose:
    """What tells a value's case, by number, and its payload."""
    match kind:
        case Variant(cases):
            return _by_name({case.name: place for place, case in enumerate(cases)})
        case EnumType(names):
            numbers = {name: place for place, name in enumerate(names)}
            return lambda value: (numbers[value], None)
        case Option():
            return _choose_option
        case Result():
            return _choose_result


def _pair_with(name: str) -> Make:
    return lambda payload: (name, payload)


def _same(payload: Value) -> Value:
    return payload


def _by_name(numbers: dict[str, int]) -> Choose:
    def choose(value: Value) -> tuple[int, Value]:
        if type(value) is tuple:
            return numbers[value[0]], value[1]
        return numbers[value], None

    return choose


def _choose_option(value: Value) -> tuple[int, Value]:
    if value is None:
        return 0, None
    return 1, value.value if type(value) is Some else value


def _choose_result(value: Value) -> tuple[int, Value]:
    if type(value) is Err:
        return 1, value.value
    return 0, value.value if type(value) is Ok else value
