"""Outputs that come step by step, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmind.errors import RuntimeFailed
from wasmind.nn.tensor import Tensor

if TYPE_CHECKING:
    from wasmind.nn.backend import Outputs
    from wasmind.nn.memory import Memory


class Gathered:
    """The outputs of a whole generation: the first one of each step joined, and the last of all others.

    They are copies, of lists of bytes or numbers.
    """

    __slots__ = ("_counted", "_memory", "_parts", "compute_ns", "queue_ns", "tensors")

    def __init__(self, memory: Memory) -> None:
        self.tensors: tuple[Tensor, ...] = ()
        self.queue_ns = 0
        self.compute_ns = 0
        self._memory = memory
        self._counted = 0
        self._parts: list[bytes] = []

    def add(self, outputs: Outputs) -> None:
        """Copy a step's outputs. Raises TooLarge."""
        size = len(outputs.tensors[0].data)
        self._memory.take(size)
        self._counted += size
        self.tensors = tuple(Tensor(each.type, each.dims, bytes(each.data)) for each in outputs.tensors)
        self._parts.append(bytes(outputs.tensors[0].data))

    def uncount(self) -> None:
        """Count its bytes no more."""
        self._memory.free(self._counted)
        self._counted = 0

    def join(self) -> None:
        """No step follows. Raises RuntimeFailed when there was none at all."""
        if not self.tensors:
            raise RuntimeFailed("the model's process ended a text before it began it")
        data = b"".join(self._parts)
        kind = self.tensors[0].type
        self.tensors = (Tensor(kind, (len(data) // kind.size,), data), *self.tensors[1:])
        self._parts.clear()

    def release(self) -> None:
        """Nothing is borrowed."""
