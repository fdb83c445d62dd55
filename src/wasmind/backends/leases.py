"""Memory that a model's process shares with this one, lent to inputs and outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wasmind.worker.arena import Arena

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wasmind.nn.tensor import Tensor

_LENT = 3, 4
"""The part of the arena that leases may take. The rest is for calls under way, so they can always end."""


class PrivateLease:
    """Memory of this process: for what travels inline, or when the shared memory is full."""

    __slots__ = ("view",)

    def __init__(self, size: int) -> None:
        self.view = memoryview(bytearray(size))

    def release(self) -> None:
        """Nothing to give back: it goes when nobody refers to it."""


class SharedLease:
    """A part of the arena. It is free again when it was released and no call uses it any more."""

    __slots__ = ("_released", "_space", "_uses", "offset", "size", "view")

    def __init__(self, space: Space, offset: int, size: int) -> None:
        self.offset = offset
        self.size = size
        self.view = space.arena.view(offset, size)
        self._space = space
        self._uses = 0
        self._released = False

    def release(self) -> None:
        """Give it back; while a call under way reads it, it is kept for that."""
        if not self._released:
            self._released = True
            self._space.leases.pop(id(self.view), None)
            if not self._uses:
                self._space.give_back([(self.offset, self.size)], [self.view])

    def hold(self) -> None:
        """A call sent to the worker reads it."""
        self._uses += 1

    def let_go(self) -> None:
        """That call is answered."""
        self._uses -= 1
        if self._released and not self._uses:
            self._space.give_back([(self.offset, self.size)], [self.view])


class Space:
    """An arena and what is lent of it."""

    def __init__(self, size: int, freed: Callable[[], None]) -> None:
        """`freed` is called whenever memory becomes free."""
        self.arena = Arena(size)
        self.leases: dict[int, SharedLease] = {}
        """By the identity of their views, which tells whether a tensor's bytes already lie here."""
        self._freed = freed

    def lease(self, size: int) -> SharedLease | None:
        """Lend memory for an input; None when too much is lent."""
        part, whole = _LENT
        if (self.arena.used + size) * whole > self.arena.size * part:
            return None
        offset = self.arena.allocate(size)
        if offset is None:
            return None
        lease = SharedLease(self, offset, size)
        self.leases[id(lease.view)] = lease
        return lease

    def give_back(self, extents: Sequence[tuple[int, int]], views: Sequence[memoryview]) -> None:
        """Free memory, and make its views unusable: the next bytes there may be another tenant's.

        Memory that somebody still looks into by another object is never used again.
        """
        try:
            for view in views:
                view.release()
        except BufferError:
            return
        for offset, size in extents:
            self.arena.free(offset, size)
        self._freed()


class ProcessOutputs(msgspec.Struct, eq=False):
    """The outputs of one inference, where the worker wrote them."""

    tensors: tuple[Tensor, ...]
    queue_ns: int
    """Time in the worker's queue."""
    compute_ns: int
    """Time of the run."""
    batch: int
    """How many calls ran together."""
    space: Space
    extents: list[tuple[int, int]] | None
    """What the call has of the arena, for its outputs and for copies of inputs."""
    views: list[memoryview] | None
    """The tensors' data that lie there."""

    def release(self) -> None:
        """Give the memory back. The tensors' data cannot be read after it."""
        if self.extents:
            extents, self.extents = self.extents, None
            self.space.give_back(extents, self.views or ())
