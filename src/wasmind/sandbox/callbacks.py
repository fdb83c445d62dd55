"""Calls from a host function back into the guest that called it: its allocator, above all."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from wasmind.errors import NodeError
from wasmind.sandbox import ffi

if TYPE_CHECKING:
    from wasmind.sandbox.program import Function, Program


class Callbacks:
    """The exports of one instance, each looked up once. `instance` is the address of its
    `wasmtime_instance_t`."""

    __slots__ = ("_context", "_handles", "_instance", "_program")

    def __init__(self, program: Program, context: int, instance: int) -> None:
        self._program = program
        self._context = context
        self._instance = instance
        self._handles: dict[str, tuple[Function, ctypes.Array[ctypes.c_char]]] = {}

    def call(self, export: str, values: tuple[Any, ...]) -> tuple[Any, int, int]:
        """Call an export; returns its first result, and the trap and the error (0: none) that the caller
        owns."""
        function, handle = self._handles.get(export) or self._find(export)
        values = function.checked(values)
        count = max(function.taken, function.given)
        cells = ctypes.create_string_buffer(ffi.RAW_SIZE * max(count, 1))
        function.raw_arguments.pack_into(cells, 0, *values)
        trap = ctypes.c_size_t()
        target, at = ctypes.addressof(handle) + ffi.EXTERN_OFFSET, ctypes.addressof(cells)
        error = ffi.call_nested(self._context, target, at, count, ctypes.addressof(trap))
        if error or trap.value or not function.given:
            return None, trap.value, error
        return function.raw_results.unpack_from(cells)[0], 0, 0

    def _find(self, export: str) -> tuple[Function, ctypes.Array[ctypes.c_char]]:
        function = self._program.function(export)
        item = ctypes.create_string_buffer(ffi.EXTERN_SIZE)
        name = function.name
        if not ffi.export_get(self._context, self._instance, name, len(name), ctypes.addressof(item)):
            raise NodeError(f"the instance has no export {export!r}")
        self._handles[export] = function, item
        return function, item
