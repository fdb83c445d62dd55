"""What a signature says about the outputs' shapes once the inputs' shapes are known, and about batching."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from wasmind.nn.tensor import byte_length

if TYPE_CHECKING:
    from wasmind.nn.signature import Signature, TensorSpec

Dims: TypeAlias = tuple[int, ...]

_REMEMBERED = 256


class Expected:
    """The outputs that one combination of input shapes leads to."""

    __slots__ = ("dims", "lengths")

    def __init__(self, dims: tuple[Dims | None, ...], lengths: tuple[int | None, ...]) -> None:
        self.dims = dims
        """The shape of each output; None where the signature leaves it open."""
        self.lengths = lengths
        """The bytes of each output; None where the signature leaves them open."""


class Shapes:
    """Output shapes by input shapes: a symbolic dimension has the size that an input gives it."""

    def __init__(self, signature: Signature) -> None:
        self._inputs = signature.inputs
        self._outputs = signature.outputs
        self._known: dict[tuple[Dims, ...], Expected] = {}

    def expect(self, inputs: tuple[Dims, ...]) -> Expected:
        """What these inputs lead to, as far as the signature tells."""
        found = self._known.get(inputs)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[inputs] = self._bind(inputs)
        return found

    def _bind(self, inputs: tuple[Dims, ...]) -> Expected:
        sizes: dict[str, int] = {}
        for spec, dims in zip(self._inputs, inputs, strict=False):
            for name, size in zip(spec.dims or (), dims, strict=False):
                if isinstance(name, str):
                    sizes.setdefault(name, size)
        shapes = tuple(_sized(spec, sizes) for spec in self._outputs)
        lengths = tuple(
            None if dims is None else byte_length(spec.type, dims)
            for spec, dims in zip(self._outputs, shapes, strict=True)
        )
        return Expected(shapes, lengths)


def _sized(spec: TensorSpec, sizes: dict[str, int]) -> Dims | None:
    if spec.dims is None:
        return None
    dims = []
    for dim in spec.dims:
        size = sizes.get(dim) if isinstance(dim, str) else dim
        if size is None or size < 0:
            return None
        dims.append(size)
    return tuple(dims)


def why_not_batched(signature: Signature) -> str | None:
    """Why calls of this model cannot run together, in words; None if they may.

    They may when the first dimension of every input and output is open, for then it is the batch's.
    """
    for what, specs in (("input", signature.inputs), ("output", signature.outputs)):
        for spec in specs:
            if not spec.dims or isinstance(spec.dims[0], int):
                return f"the {what} {spec.name!r} ({spec}) has no open first dimension"
    names = {spec.dims[0] for spec in signature.inputs if spec.dims}
    if len(names) > 1:
        return f"the inputs' first dimensions differ ({', '.join(sorted(map(str, names)))})"
    return None if signature.inputs else "it has no inputs"
