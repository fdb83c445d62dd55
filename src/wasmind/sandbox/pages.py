"""Pages of memory that every guest of a program writes to, made ready all at once when a guest starts.

A guest in Python or JavaScript writes to hundreds of pages of its program's image, and each first write is a
fault of its own: a third of its request. Which pages these are is learned from the first guests that end well
(docs/decisions/0018). Where the system does not offer this, guests take their faults as they come.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from array import array
from struct import Struct

LESSONS = 3
"""Guests that are looked at; what all of them wrote to is made ready."""
FEWEST = 32
"""Pages that are worth a system call."""
MOST_RANGES = 1024
"""Ranges that one call may name."""
LARGEST = 1 << 30
"""Bytes of the largest memory that is looked at."""

_PAGE = mmap.PAGESIZE
_ZEROS = bytes(_PAGE)
_MOST_KEPT = 1024
_PROCESS_MADVISE, _POPULATE_WRITE = 440, 23
_ENTRY = 8
_PRESENT, _NOT_OURS = 1 << 63, 1 << 61
_pair = Struct("=QQ")

_syscall = ctypes.PyDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = (
    ctypes.c_long,
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_uint,
)


class Pages:
    """What is known of one program's memory. It begins to learn with the first guest that is shown to it."""

    __slots__ = ("_common", "_handle", "_ranges", "_size", "_vectors", "left", "ready")

    def __init__(self, size: int) -> None:
        """`size` is the memory's at its start: what a guest grows later cannot be made ready."""
        self._size = size
        self.left = LESSONS if 0 < size <= LARGEST else 0
        """How many more guests are to be shown."""
        self._common: set[int] | None = None
        self._ranges: list[tuple[int, int]] = []
        self._vectors: dict[int, ctypes.Array[ctypes.c_char]] = {}
        self._handle = -1
        self.ready = False
        """Whether `populate` has something to do."""

    def learn(self, address: int, memory: memoryview) -> None:
        """Look at the memory of a guest that has ended well, before it is freed.

        A page that holds nothing but zeros was most likely only read.
        """
        self.left -= 1
        written = self._written(address)
        if written is None:
            self.left = 0
            return
        if self._common is not None:
            written &= self._common
        self._common = {at for at in written if memory[at * _PAGE : (at + 1) * _PAGE] != _ZEROS}
        if self.left == 0 and len(self._common) >= FEWEST:
            self._ranges = joined(sorted(self._common))
            self.ready = len(self._ranges) <= MOST_RANGES and self._open()

    def populate(self, address: int) -> None:
        """Make the pages of a guest's memory ready to be written to."""
        vector = self._vectors.get(address)
        if vector is None:
            if len(self._vectors) >= _MOST_KEPT:
                self._vectors.clear()
            packed = b"".join(
                _pair.pack(address + first * _PAGE, count * _PAGE) for first, count in self._ranges
            )
            vector = self._vectors[address] = ctypes.create_string_buffer(packed, len(packed))
        done = _syscall(_PROCESS_MADVISE, self._handle, vector, len(self._ranges), _POPULATE_WRITE, 0)
        if done < 0:  # an older kernel, or a filter of system calls
            self.close()

    def close(self) -> None:
        """Let go of what was opened."""
        handle, self._handle = self._handle, -1
        self.ready = False
        self.left = 0
        if handle >= 0:
            os.close(handle)

    def __del__(self) -> None:
        self.close()

    def _open(self) -> bool:
        try:
            self._handle = os.pidfd_open(os.getpid())
        except OSError:
            return False
        return True

    def _written(self, address: int) -> set[int] | None:
        """The numbers of the pages that belong to the guest alone; None if that cannot be known."""
        wanted = self._size // _PAGE * _ENTRY
        try:
            handle = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
            try:
                found = os.pread(handle, wanted, address // _PAGE * _ENTRY)
            finally:
                os.close(handle)
        except OSError:
            return None
        if len(found) != wanted:
            return None
        entries = array("Q", found)
        return {number for number, entry in enumerate(entries) if entry & _PRESENT and not entry & _NOT_OURS}


def joined(numbers: list[int]) -> list[tuple[int, int]]:
    """Ranges as (first, count) that hold these numbers; a gap of one is bridged."""
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and number - sum(ranges[-1]) <= 1:
            first, _ = ranges[-1]
            ranges[-1] = first, number - first + 1
        else:
            ranges.append((number, 1))
    return ranges
