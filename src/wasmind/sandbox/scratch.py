"""The memory that C writes to while a guest lives: one small buffer per guest, used again by the next."""

from __future__ import annotations

import ctypes
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from wasmind.sandbox import ffi

if TYPE_CHECKING:
    from wasmind.sandbox.program import Function

INSTANCE: Final = 0
TRAP: Final = 16
ERROR: Final = 24
MEMORY: Final = 32
FUNCTION: Final = MEMORY + ffi.EXTERN_SIZE
HANDLE: Final = FUNCTION + ffi.EXTERN_OFFSET
FLAG: Final = FUNCTION + ffi.EXTERN_SIZE
"""A byte that is 1 when the host function's wait is over, and one that stays 0 (see ffi.flag_is_set)."""
ARGUMENTS: Final = FLAG + 8
MOST_VALUES: Final = 16
RESULTS: Final = ARGUMENTS + MOST_VALUES * ffi.VAL_SIZE
_SIZE: Final = RESULTS + MOST_VALUES * ffi.VAL_SIZE
_OUTCOME: Final = Struct("<QQ")


class Scratch:
    """A buffer at a fixed `address`, with the offsets above; `view` is the same bytes for Python."""

    __slots__ = ("_buffer", "address", "view")

    def __init__(self) -> None:
        self._buffer = ctypes.create_string_buffer(_SIZE)
        self.address = ctypes.addressof(self._buffer)
        self.view = memoryview(self._buffer).cast("B")

    def take_outcome(self) -> tuple[int, int]:
        """The trap and the error that C left, which the caller owns now."""
        outcome = _OUTCOME.unpack_from(self.view, TRAP)
        if outcome != (0, 0):
            _OUTCOME.pack_into(self.view, TRAP, 0, 0)
        return outcome

    def place(self, function: Function, values: tuple[Any, ...]) -> None:
        """Write a call's arguments at `ARGUMENTS`; a program's functions have at most `MOST_VALUES`."""
        function.arguments.pack_into(self.view, ARGUMENTS, *values)
        self.view[ARGUMENTS : ARGUMENTS + function.taken * ffi.VAL_SIZE : ffi.VAL_SIZE] = function.kinds

    def results(self, function: Function) -> tuple[Any, ...]:
        """Read a call's results."""
        return function.results.unpack_from(self.view, RESULTS)
