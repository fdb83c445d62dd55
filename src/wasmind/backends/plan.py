"""What is foreseen of calls before they are made: where their outputs go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from wasmind.worker.wire import INLINE, MAX_INLINE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmind.worker.shapes import Dims, Expected


class Plan(msgspec.Struct, frozen=True):
    """What calls with inputs of certain shapes need."""

    wanted: tuple[int, ...]
    """The place that each output needs, in bytes: 0 for none. Empty where no output needs one."""
    dims: tuple[Dims, ...] | None = None
    """The shapes of the outputs where all are known and travel inline."""
    lengths: tuple[int, ...] = ()
    """Their bytes."""


def planned(expected: Expected) -> Plan:
    """The plan for calls with such outputs."""
    wanted = _wanted(expected.lengths)
    if wanted or None in expected.lengths:
        return Plan(wanted)
    known: tuple[tuple[Any, ...], tuple[Any, ...]] = expected.dims, expected.lengths
    return Plan((), *known)


def _wanted(lengths: Sequence[int | None]) -> tuple[int, ...]:
    """The places that outputs of these lengths need: 0 for one that travels inline or is not known yet."""
    room = MAX_INLINE
    wanted = []
    for length in lengths:
        small = length is None or (length <= INLINE and length <= room)
        room -= (length or 0) if small else 0
        wanted.append(0 if small else length or 0)
    return tuple(wanted) if any(wanted) else ()
