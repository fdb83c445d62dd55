"""A guest's linear memory: the only way to read or write it, every access checked against its bounds."""

from __future__ import annotations

import ctypes
from struct import Struct, unpack_from
from typing import TYPE_CHECKING, Any, Protocol

from wasmind.errors import MemoryFault, MissingMemory
from wasmind.sandbox import ffi

if TYPE_CHECKING:
    from collections.abc import Callable

_WRITABLE = 0x200  # PyBUF_WRITE
_over: Callable[[int, int, int], memoryview] = ctypes.pythonapi.PyMemoryView_FromMemory
_over.argtypes = (ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)  # type: ignore[attr-defined]
_over.restype = ctypes.py_object  # type: ignore[attr-defined]

_u16 = Struct("<H")
_u32 = Struct("<I")
_u64 = Struct("<Q")
_f32 = Struct("<f")
_f64 = Struct("<d")
_EMPTY = memoryview(b"")


class Owner(Protocol):
    """The guest whose memory it is."""

    @property
    def suspended(self) -> bool:
        """Whether its fiber is suspended, so that Wasmtime must not be asked about it."""


class Memory:
    """One guest's memory, from address 0 to `size`.

    Addresses and lengths come from the guest and may be anything; an access that is not wholly inside raises
    MemoryFault. The bounds are kept here and asked for again when an access misses them, since memory only
    grows. Where memory may move as it grows (`moves`), they are asked for before each access. While the guest
    is suspended nothing grows, and Wasmtime is not asked.
    """

    __slots__ = ("_context", "_handle", "_moves", "_owner", "_view", "size")

    def __init__(self) -> None:
        self._view = _EMPTY
        self._handle = 0
        self._context = 0
        self._moves = False
        self._owner: Owner | None = None
        self.size = 0

    def attach(self, context: int, handle: int, moves: bool, owner: Owner) -> None:
        """Begin: `handle` is the address of a `wasmtime_memory_t` that outlives this."""
        self._context, self._handle, self._moves, self._owner = context, handle, moves, owner
        self.refresh()

    @property
    def moves(self) -> bool:
        """Whether it may lie elsewhere once the guest has run."""
        return self._moves

    @property
    def address(self) -> int:
        """Where it lies in this process, or lay when last asked for; 0 when there is none."""
        return ffi.memory_data(self._context, self._handle) if self._view else 0

    @property
    def buffer(self) -> memoryview:
        """All of it as it lay when last asked for: for those who check every pointer themselves."""
        return self._view

    def detach(self) -> int:
        """End, while Wasmtime may still be asked: every later access is a fault. Returns the last size."""
        if self._handle:
            self.size = ffi.memory_size(self._context, self._handle)
        self._view, self._handle, self._moves, self._owner = _EMPTY, 0, False, None
        return self.size

    def refresh(self) -> None:
        """Ask Wasmtime for the bounds, if it may be asked; nothing when there is no memory."""
        owner = self._owner
        if owner is None or owner.suspended:
            return
        size = ffi.memory_size(self._context, self._handle)
        if size != self.size or self._moves or not self._view:
            self._view = (
                _over(ffi.memory_data(self._context, self._handle), size, _WRITABLE) if size else _EMPTY
            )
            self.size = size

    def _reach(self, pointer: int, length: int) -> memoryview:
        """Return a view that holds `length` bytes at `pointer`. Raises MemoryFault."""
        if self._moves:
            self.refresh()
        if pointer >= 0 and length >= 0:
            if pointer + length <= len(self._view):
                return self._view
            self.refresh()
            if pointer + length <= len(self._view):
                return self._view
        raise self._fault(pointer, length)

    def _fault(self, pointer: int, length: int) -> MemoryFault:
        if not self._handle:
            return MissingMemory(
                "the function has no memory to read or write",
                cause='it exports no memory named "memory", or it has ended',
                remedy='export the memory as "memory"',
            )
        return MemoryFault(
            f"{length} bytes at {pointer:#x} are outside the function's memory",
            cause=f"its memory ends at {len(self._view):#x}",
            remedy="check the pointer and the length that the function passes",
        )

    def view(self, pointer: int, length: int) -> memoryview:
        """`length` writable bytes in place: valid until the guest runs again, and never to be kept."""
        return self._reach(pointer, length)[pointer : pointer + length]

    def read(self, pointer: int, length: int) -> bytes:
        """Return a copy of `length` bytes."""
        return bytes(self._reach(pointer, length)[pointer : pointer + length])

    def write(self, pointer: int, data: bytes | bytearray | memoryview) -> None:
        """Write contiguous bytes."""
        if isinstance(data, memoryview) and data.format != "B":
            data = data.cast("B")
        end = pointer + len(data)
        self._reach(pointer, len(data))[pointer:end] = data

    def gather(self, vectors: int, count: int, most: int) -> bytes | None:
        """What `count` buffers hold, whose pointers and lengths of four bytes each follow each other at
        `vectors`; None if that is more than `most` bytes. Bound `count` first.
        """
        words = self.u32s(vectors, 2 * count)
        view = self._view
        end = len(view)
        parts = []
        total = 0
        for at in range(0, 2 * count, 2):
            pointer, length = words[at], words[at + 1]
            if pointer + length > end:
                view = self._reach(pointer, length)
                end = len(view)
            total += length
            parts.append(view[pointer : pointer + length])
        return b"".join(parts) if total <= most else None

    def u8(self, pointer: int) -> int:
        """One byte."""
        return self._reach(pointer, 1)[pointer]

    def u16(self, pointer: int) -> int:
        """Two bytes, little-endian, unsigned, at any alignment."""
        value: int = _u16.unpack_from(self._reach(pointer, 2), pointer)[0]
        return value

    def u32(self, pointer: int) -> int:
        """Four bytes, little-endian, unsigned, at any alignment."""
        value: int = _u32.unpack_from(self._reach(pointer, 4), pointer)[0]
        return value

    def u64(self, pointer: int) -> int:
        """Eight bytes, little-endian, unsigned, at any alignment."""
        value: int = _u64.unpack_from(self._reach(pointer, 8), pointer)[0]
        return value

    def set_u8(self, pointer: int, value: int) -> None:
        """Write one byte."""
        self._reach(pointer, 1)[pointer] = value

    def set_u16(self, pointer: int, value: int) -> None:
        """Write two bytes."""
        _u16.pack_into(self._reach(pointer, 2), pointer, value)

    def set_u32(self, pointer: int, value: int) -> None:
        """Write four bytes."""
        _u32.pack_into(self._reach(pointer, 4), pointer, value)

    def set_u64(self, pointer: int, value: int) -> None:
        """Write eight bytes."""
        _u64.pack_into(self._reach(pointer, 8), pointer, value)

    def set_f32(self, pointer: int, value: float) -> None:
        """Write an f32."""
        _f32.pack_into(self._reach(pointer, 4), pointer, value)

    def set_f64(self, pointer: int, value: float) -> None:
        """Write an f64."""
        _f64.pack_into(self._reach(pointer, 8), pointer, value)

    def u32s(self, pointer: int, count: int) -> tuple[int, ...]:
        """`count` values of four bytes that follow each other; bound it first, for each becomes an object."""
        return unpack_from(f"<{count}I", self._reach(pointer, 4 * count), pointer)

    def unpack(self, layout: Struct, pointer: int) -> tuple[Any, ...]:
        """Read a record by its layout."""
        return layout.unpack_from(self._reach(pointer, layout.size), pointer)

    def pack(self, layout: Struct, pointer: int, *values: Any) -> None:
        """Write a record by its layout."""
        layout.pack_into(self._reach(pointer, layout.size), pointer, *values)
