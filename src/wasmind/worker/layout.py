"""The arrays that a combination of input shapes needs, made once and used by every such call of a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wasmind.nn.tensor import byte_length
from wasmind.worker.runtimes.base import DTYPES
from wasmind.worker.wire import INLINE

if TYPE_CHECKING:
    from wasmind.nn.signature import Signature
    from wasmind.nn.tensor import TensorType
    from wasmind.worker.runtimes.base import Array
    from wasmind.worker.shapes import Dims, Shapes

_REMEMBERED = 64


class Slot:
    """One input or output; `dims` is None for an output whose shape the signature leaves open."""

    __slots__ = ("_bytes", "array", "dims", "length", "type")

    def __init__(self, kind: TensorType, dims: Dims | None) -> None:
        self.type = kind
        self.dims = dims
        self.length = 0 if dims is None else byte_length(kind, dims)
        self.array: Array | None = None
        """This thread's memory for a tensor that travels inline; a framework binds it only once."""
        self._bytes: memoryview | None = None
        if dims is not None and self.length <= INLINE:
            self.array = np.empty(dims, DTYPES[kind])
            self._bytes = bytes_of(self.array)

    def filled(self, data: bytes) -> Array:
        """The array, with an input's inline bytes in it. Raises ValueError for a wrong length."""
        if self.array is None or self._bytes is None:
            raise ValueError(f"{len(data)} bytes inline for a tensor that takes {self.length}")
        self._bytes[:] = data
        return self.array


class Layout:
    """The slots of all inputs and outputs, for one combination of input shapes."""

    __slots__ = ("inputs", "outputs")

    def __init__(self, inputs: tuple[Slot, ...], outputs: tuple[Slot, ...]) -> None:
        self.inputs = inputs
        self.outputs = outputs


class Layouts:
    """The layouts that one thread has met lately."""

    def __init__(self, signature: Signature, shapes: Shapes) -> None:
        self._signature = signature
        self._shapes = shapes
        self._known: dict[tuple[Dims, ...], Layout] = {}

    def of(self, inputs: tuple[Dims, ...]) -> Layout:
        """The layout for inputs of these shapes. Raises ValueError for a wrong number of inputs."""
        found = self._known.get(inputs)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            expected = self._shapes.expect(inputs)
            found = self._known[inputs] = Layout(
                tuple(
                    Slot(spec.type, dims) for spec, dims in zip(self._signature.inputs, inputs, strict=True)
                ),
                tuple(
                    Slot(spec.type, dims)
                    for spec, dims in zip(self._signature.outputs, expected.dims, strict=True)
                ),
            )
        return found


def bytes_of(array: Array) -> memoryview:
    """The bytes of a contiguous array, in place; of another one, of a copy."""
    return memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8)).cast("B")  # type: ignore[arg-type]  # a Buffer from Python 3.12 on
