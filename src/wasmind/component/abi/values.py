"""How component values look in Python.

| component type | Python value |
| --- | --- |
| bool, integers, f32/f64, string | bool, int, float, str |
| char | str of length 1 |
| list<u8> | lifted to bytes; any buffer is lowered |
| list | lifted to a list; any sequence is lowered |
| record, tuple | tuple, in the order of the fields |
| enum | its name |
| variant | the case's name, or (name, payload) if the case has a payload |
| flags | frozenset of names |
| option | None or the value; an option right within an option is `Some(value)` |
| result | lifted to `Ok(value)` or `Err(value)`; any other value is lowered as ok |
| own, borrow | the resource's representation: for a host's resource, the Python object |
"""

from __future__ import annotations

from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

Value: TypeAlias = Any
"""A component value; its component type says which kind of Python value it is."""

T = TypeVar("T")


class Ok(msgspec.Struct, Generic[T], frozen=True):
    """A result's success."""

    value: T


class Err(msgspec.Struct, Generic[T], frozen=True):
    """A result's failure."""

    value: T


class Some(msgspec.Struct, Generic[T], frozen=True):
    """An option's value, where None alone would be ambiguous."""

    value: T
