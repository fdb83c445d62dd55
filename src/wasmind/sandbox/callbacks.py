"""What host functions use of the guest that called them: its allocator, and its other memories."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from wasmind.errors import NodeError
from wasmind.sandbox import ffi
from wasmind.sandbox.memory import Memory
from wasmind.sandbox.scratch import MOST_VALUES

if TYPE_CHECKING:
    from wasmind.sandbox.guest import Guest
    from wasmind.sandbox.program import Function

MOST_NESTED = 16
"""How deep guest and host may call each other; the interpreter fails a callback at its entry far beyond
that."""


class _Frame:
    """Where the arguments and results of one call lie, and its trap."""

    __slots__ = ("at", "cells", "trap", "trap_at")

    def __init__(self) -> None:
        self.cells = ffi.buffer(ffi.RAW_SIZE * MOST_VALUES)()
        self.at = ctypes.addressof(self.cells)
        self.trap = ctypes.c_size_t()
        self.trap_at = ctypes.addressof(self.trap)


class Callbacks:
    """The exports of one instance, each looked up once. `instance` is the address of its
    `wasmtime_instance_t`."""

    __slots__ = ("_context", "_frames", "_guest", "_handles", "_instance", "_items", "_memories")

    def __init__(self, guest: Guest[Any], context: int, instance: int) -> None:
        self._guest = guest
        self._memories: dict[str, tuple[Memory, ctypes.Array[ctypes.c_char]]] = {}
        self._context = context
        self._instance = instance
        self._handles: dict[str, tuple[Function, int]] = {}
        self._items: list[ctypes.Array[ctypes.c_char]] = []
        self._frames: list[_Frame] = []

    def call(self, export: str, values: tuple[Any, ...]) -> tuple[Any, int, int]:
        """Call an export; returns its first result, and the trap and the error (0: none) that the caller
        owns."""
        function, handle = self._handles.get(export) or self._find(export)
        count = max(function.taken, function.given)
        frame = self._frames.pop() if self._frames else _Frame()
        function.raw_arguments.pack_into(frame.cells, 0, *function.checked(values))
        error = ffi.call_nested(self._context, handle, frame.at, count, frame.trap_at)
        trap, frame.trap.value = frame.trap.value, 0
        result = function.raw_results.unpack_from(frame.cells)[0] if function.given else None
        self._frames.append(frame)
        return (None, trap, error) if error or trap else (result, 0, 0)

    def memory(self, export: str) -> Memory:
        """One of the instance's memories. Raises NodeError."""
        if export not in self._memories:
            item = self._item(export)
            memory = Memory()
            moves = self._guest.program.engine.room.profile.moves
            memory.attach(self._context, ctypes.addressof(item) + ffi.EXTERN_OFFSET, moves, self._guest)
            self._memories[export] = memory, item
        return self._memories[export][0]

    def refresh(self) -> None:
        """The guest is about to be suspended: see the memories as they are now."""
        for memory, _ in self._memories.values():
            memory.refresh()

    def close(self) -> None:
        """The instance is gone: its memories are detached."""
        for memory, _ in self._memories.values():
            memory.detach()

    def _find(self, export: str) -> tuple[Function, int]:
        item = self._item(export)
        self._items.append(item)
        found = self._guest.program.function(export), ctypes.addressof(item) + ffi.EXTERN_OFFSET
        self._handles[export] = found
        return found

    def _item(self, export: str) -> ctypes.Array[ctypes.c_char]:
        item, name = ffi.buffer(ffi.EXTERN_SIZE)(), export.encode()
        if not ffi.export_get(self._context, self._instance, name, len(name), ctypes.addressof(item)):
            raise NodeError(f"the instance has no export {export!r}")
        return item
