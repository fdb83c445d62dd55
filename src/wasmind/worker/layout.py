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

    __slots__ = ("array", "bytes", "dims", "dtype", "length")

    def __init__(self, kind: TensorType, dims: Dims | None) -> None:
        self.dtype = DTYPES[kind]
        self.dims = dims
        self.length = 0 if dims is None else byte_length(kind, dims)
        self.array: Array | None = None
        """This thread's memory for a tensor that travels inline; a framework binds it only once."""
        self.bytes: memoryview | None = None
        """Its bytes, in place."""
        if dims is not None and self.length <= INLINE:
            self.array = np.zeros(dims, self.dtype)
            self.bytes = bytes_of(self.array)

    def filled(self, data: bytes) -> Array:
        """The array, with an input's inline bytes in it. Raises ValueError for a wrong length."""
        if self.array is None or self.bytes is None:
            raise ValueError(f"{len(data)} bytes inline for a tensor that takes {self.length}")
        self.bytes[:] = data
        return self.array


class Layout:
    """The slots of all inputs and outputs, for one combination of input shapes."""

    __slots__ = ("given", "given_bytes", "inputs", "outputs", "taken", "taken_bytes", "taken_dims")

    def __init__(self, inputs: tuple[Slot, ...], outputs: tuple[Slot, ...]) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.given = [slot.array for slot in inputs if slot.array is not None]
        """The inputs' arrays and, below, their bytes, where all may travel inline."""
        self.given_bytes = tuple(slot.bytes for slot in inputs if slot.bytes is not None)
        self.taken: list[Array | None] = [slot.array for slot in outputs]
        """The outputs' arrays, and below their bytes and shapes, where all travel inline."""
        self.taken_bytes = tuple(slot.bytes for slot in outputs if slot.bytes is not None)
        self.taken_dims = tuple(slot.dims for slot in outputs if slot.dims is not None)

    @property
    def is_inline(self) -> bool:
        """Whether every input and output may travel inline."""
        return len(self.given) == len(self.inputs) and len(self.taken_bytes) == len(self.outputs)


class Layouts:
    """The layouts that one thread has met lately."""

    def __init__(self, signature: Signature, shapes: Shapes) -> None:
        self._signature = signature
        self._shapes = shapes
        self._known: dict[tuple[Dims, ...], Layout] = {}
        self.inline: dict[tuple[Dims, ...], Layout] = {}
        """Those of them in which everything may travel inline."""

    def of(self, inputs: tuple[Dims, ...]) -> Layout:
        """The layout for inputs of these shapes. Raises ValueError for a wrong number of inputs."""
        found = self._known.get(inputs)
        return found if found is not None else self._made(inputs)

    def _made(self, inputs: tuple[Dims, ...]) -> Layout:
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
            self.inline.clear()
        given = zip(self._signature.inputs, inputs, strict=True)
        taken = zip(self._signature.outputs, self._shapes.expect(inputs).dims, strict=True)
        made = Layout(
            tuple(Slot(spec.type, dims) for spec, dims in given),
            tuple(Slot(spec.type, dims) for spec, dims in taken),
        )
        self._known[inputs] = made
        if made.is_inline:
            self.inline[inputs] = made
        return made


def bytes_of(array: Array) -> memoryview:
    """The bytes of a contiguous array, in place; of another one, of a copy."""
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return flat.data
