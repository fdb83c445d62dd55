"""The shared memory between one edge worker and one model worker, and who may use which part of it.

The edge makes an anonymous file of a fixed size (sealed, so neither side can shrink it under the other), maps
it, and passes its descriptor once. It alone allocates. The memory is sparse: a part costs nothing until it is
first used.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
from bisect import bisect_left, insort

PAGE = 4096
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def rounded(size: int) -> int:
    """The bytes that an allocation of `size` takes: whole pages, so no two tensors share one."""
    return (size + PAGE - 1) // PAGE * PAGE


class Arena:
    """The edge's end: the memory and its allocator. Used from one thread."""

    def __init__(self, size: int) -> None:
        self.size = rounded(max(size, PAGE))
        self.fd = os.memfd_create("wasmind-arena", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.fd, self.size)
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, _SEALS)
            self.memory = memoryview(mmap.mmap(self.fd, self.size))
        except BaseException:
            os.close(self.fd)
            raise
        self.used = 0
        self._recent: dict[int, list[int]] = {}
        self._free: list[tuple[int, int]] = [(0, self.size)]

    def close_descriptor(self) -> None:
        """Close the descriptor; the mapping lives for as long as anything refers to it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def view(self, offset: int, length: int) -> memoryview:
        """Bytes of the memory, in place."""
        return self.memory[offset : offset + length]

    def allocate(self, size: int) -> int | None:
        """The offset of at least `size` free bytes, or None when there are none.

        Sizes repeat, since a model's tensors do: a part just freed is given to the next of its size, still in
        the processor's cache. Only when that fails are free parts searched, and only when that fails merged.
        """
        size = rounded(size)
        recent = self._recent.get(size)
        if recent:
            offset: int | None = recent.pop()
        else:
            offset = self._carve(size)
            if offset is None and self._recent:
                self._merge()
                offset = self._carve(size)
        if offset is not None:
            self.used += size
        return offset

    def free(self, offset: int, size: int) -> None:
        """Give back what `allocate(size)` gave."""
        size = rounded(size)
        self.used -= size
        self._recent.setdefault(size, []).append(offset)

    def _carve(self, size: int) -> int | None:
        for index, (offset, length) in enumerate(self._free):
            if length > size:
                self._free[index] = (offset + size, length - size)
                return offset
            if length == size:
                del self._free[index]
                return offset
        return None

    def _merge(self) -> None:
        for size, offsets in self._recent.items():
            for offset in offsets:
                self._insert(offset, size)
        self._recent.clear()

    def _insert(self, offset: int, length: int) -> None:
        at = bisect_left(self._free, (offset, 0))
        if at < len(self._free) and self._free[at][0] == offset + length:
            length += self._free.pop(at)[1]
        if at and sum(self._free[at - 1]) == offset:
            before = self._free.pop(at - 1)
            offset, length = before[0], before[1] + length
        insort(self._free, (offset, length))


class Mapping:
    """The worker's end: the same memory, mapped from the descriptor that came with `Hello`."""

    def __init__(self, fd: int, size: int) -> None:
        """Map `fd` and close it. Raises ValueError if it is not a sealed anonymous file of `size` bytes."""
        try:
            if os.fstat(fd).st_size != size or size <= 0:
                raise ValueError(f"the arena has {os.fstat(fd).st_size} bytes, not {size}")
            if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
                raise ValueError("the arena is not sealed against growing and shrinking")
            self._map = mmap.mmap(fd, size)
        finally:
            os.close(fd)
        self.size = size
        self.memory = memoryview(self._map)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))

    def holds(self, offset: int, length: int) -> bool:
        """Whether these bytes are all within the memory."""
        return offset >= 0 and length >= 0 and offset + length <= self.size
