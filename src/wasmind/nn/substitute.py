"""Whether a model can do another's inferences, and how their tensors correspond."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from wasmind.errors import ConfigError
from wasmind.nn.signature import Signature, TensorSpec


class Match(msgspec.Struct, frozen=True):
    """For each tensor of the other model, in its order, the position of the one it takes or gives instead."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    """For each output of the model, in its order, the position of the other's that it is."""

    @property
    def trivial(self) -> bool:
        """Whether all tensors keep their places."""
        return all(side == tuple(range(len(side))) for side in (self.inputs, self.outputs))


def match(model: Signature, other: Signature) -> Match:
    """How `other` does what `model` does: by the tensors' names where both have the same, else by position.

    Types are equal, and so are dimensions that both fix. What only `other` fixes is left to each call.
    Raises ConfigError, which says what does not fit.
    """
    inputs = _side("input", model.inputs, other.inputs)
    outputs = _side("output", other.outputs, model.outputs)
    return Match(inputs, outputs)


def _side(kind: str, given: Sequence[TensorSpec], wanted: Sequence[TensorSpec]) -> tuple[int, ...]:
    """For each of `wanted`, the position among `given`."""
    if len(given) != len(wanted):
        raise ConfigError(f"one model has {len(given)} {kind}s and the other {len(wanted)}")
    names = [spec.name for spec in given]
    by_name = sorted(names) == sorted(spec.name for spec in wanted)
    found = []
    for index, want in enumerate(wanted):
        at = names.index(want.name) if by_name else index
        if not _fits(given[at], want):
            raise ConfigError(f'the {kind} "{given[at].name}" is {given[at]}, and "{want.name}" is {want}')
        found.append(at)
    return tuple(found)


def _fits(one: TensorSpec, other: TensorSpec) -> bool:
    if one.type is not other.type:
        return False
    if one.dims is None or other.dims is None:
        return True
    return len(one.dims) == len(other.dims) and all(
        a == b or not (isinstance(a, int) and isinstance(b, int))
        for a, b in zip(one.dims, other.dims, strict=True)
    )
