"""The memory that C writes to while a guest lives: one small buffer per guest, used again by the next."""

from __future__ import annotations

import ctypes
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from wasmind.errors import NodeError
from wasmind.sandbox import ffi

if TYPE_CHECKING:
    from wasmind.sandbox.program import Function

INSTANCE: Final = 0
TRAP: Final = 16
ERROR: Final = 24
MEMORY: Final = 32
FUNCTION: Final = MEMORY + ffi.EXTERN_SIZE
FLAG: Final = FUNCTION + ffi.EXTERN_SIZE
"""A byte that is 1 when the host function's wait is over, and one that stays 0 (see ffi.flag_is_set)."""
_ARGUMENTS: Final = FLAG + 8
_MOST_VALUES: Final = 16
_RESULTS: Final = _ARGUMENTS + _MOST_VALUES * ffi.VAL_SIZE
_SIZE: Final = _RESULTS + _MOST_VALUES * ffi.VAL_SIZE
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

    def place(self, function: Function, values: tuple[Any, ...]) -> tuple[int, int]:
        """Write a call's arguments; returns the addresses of arguments and results. Raises NodeError for too
        many."""
        kinds = function.signature.parameters
        if len(kinds) > _MOST_VALUES or len(function.signature.results) > _MOST_VALUES:
            raise NodeError(f"{function.name.decode()} has more than {_MOST_VALUES} parameters or results")
        if kinds:
            function.arguments.pack_into(self.view, _ARGUMENTS, *values)
            for index, kind in enumerate(kinds):
                self.view[_ARGUMENTS + index * ffi.VAL_SIZE] = kind.number
        return self.address + _ARGUMENTS, self.address + _RESULTS

    def results(self, function: Function) -> tuple[Any, ...]:
        """Read a call's results."""
        return function.results.unpack_from(self.view, _RESULTS)
