"""What a model takes and gives: names, types, and shapes with symbolic dimensions, in declared order."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from wasmind.nn.tensor import TensorType, describe

Dim: TypeAlias = int | str | None
"""A dimension: fixed, symbolic (the same name means the same size), or unknown."""


class TensorSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """One input or output."""

    name: str
    type: TensorType
    dims: tuple[Dim, ...] | None
    """None when even the rank is unknown."""
    optional: bool = False
    """A guest need not set it; it is empty then."""

    def __str__(self) -> str:
        return f"{self.type} of any shape" if self.dims is None else describe(self.type, self.dims)


class Signature(msgspec.Struct, frozen=True, omit_defaults=True):
    """All inputs and outputs of a model; a position in the tuple is the index of wasi-nn's core ABI."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    steps: bool = False
    """Whether its outputs also come step by step: a language model's do, token by token."""
