"""Constant expressions, evaluated: they may speak of globals that come from another instance.

A side module's table and memory offsets, for example, are globals that its main module exports.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wasmind.component.binary.cursor import Cursor
from wasmind.component.core import emit
from wasmind.component.core.module import CoreModule, Kind, Span
from wasmind.component.core.types import HEAPS
from wasmind.component.fuse import Unfusable
from wasmind.component.fuse.layout import Entity, Layout, Part

END = b"\x0b"
_SHIFT = {"i32": 32, "i64": 64}


@dataclass(frozen=True, slots=True)
class Constant:
    """A value as one instruction; integers are known, since they may be calculated with."""

    code: bytes
    integer: tuple[str, int] | None = None
    function: int | None = None
    """The function, in the fused module, that this is a reference to."""


class Constants:
    """Evaluates the constant expressions of all instances."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._globals: dict[Entity, Constant] = {}
        for number, part in enumerate(layout.parts):
            first = part.module.imported(Kind.GLOBAL)
            for index, span in enumerate(part.module.global_inits, first):
                # In order, so that an expression finds the globals before it, and none behind it.
                self._globals[number, index] = self.evaluate(part, span)

    def immutable(self, entity: Entity) -> Constant | None:
        """The value of a global that never changes and is a number, or None."""
        number, index = entity
        module = self.layout.parts[number].module
        if module.globals[index].mutable:
            return None
        constant = self.initial(entity)
        return constant if constant.function is None and constant.code[0] in _NUMBERS else None

    def initial(self, entity: Entity) -> Constant:
        """The value a global begins with."""
        return self._globals[entity]

    def evaluate(self, part: Part, span: Span) -> Constant:
        """The value of an expression of an instance. Raises Unfusable or NotWasm."""
        cursor = Cursor(part.module.data, span.at, span.end)
        stack: list[Constant] = []
        while (code := cursor.byte()) != END[0]:
            if code in _ARITHMETIC:
                stack.append(_calculate(cursor, code, stack))
            else:
                stack.append(self._constant(part, cursor, code))
        if len(stack) != 1:
            raise cursor.fail("a constant expression does not give one value", span.at)
        return stack[0]

    def _constant(self, part: Part, cursor: Cursor, code: int) -> Constant:
        start = cursor.at - 1
        match code:
            case 0x23:  # global.get
                index = cursor.u32()
                known = part.entities[Kind.GLOBAL]
                if index >= len(known) or known[index] not in self._globals:
                    raise cursor.fail(f"there is no global {index} here", start)
                return self.initial(known[index])
            case 0x41:
                return integer("i32", cursor.signed(32))
            case 0x42:
                return integer("i64", cursor.signed(64))
            case 0x43:
                cursor.take(4)
            case 0x44:
                cursor.take(8)
            case 0xFD:
                cursor.u32()
                cursor.take(16)
            case 0xD2:  # ref.func
                functions = part.maps[Kind.FUNC]
                index = cursor.u32()
                if index >= len(functions):
                    raise cursor.fail(f"there is no function {index}", start)
                return function(functions[index])
            case 0xD0:  # ref.null
                return Constant(b"\xd0" + heap_type(self.layout, part.module, cursor))
            case _:
                raise cursor.fail(f"0x{code:02x} is no constant instruction", start)
        return Constant(part.module.data[start : cursor.at])


_NUMBERS = (0x41, 0x42, 0x43, 0x44, 0xFD)
_ARITHMETIC: dict[int, tuple[str, Callable[[int, int], int]]] = {
    0x6A: ("i32", operator.add),
    0x6B: ("i32", operator.sub),
    0x6C: ("i32", operator.mul),
    0x7C: ("i64", operator.add),
    0x7D: ("i64", operator.sub),
    0x7E: ("i64", operator.mul),
}


def integer(kind: str, value: int) -> Constant:
    """An integer constant; the value wraps."""
    bits = _SHIFT[kind]
    value = (value + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))
    return Constant((b"\x41" if kind == "i32" else b"\x42") + emit.signed(value), (kind, value))


def function(index: int) -> Constant:
    """A reference to a function of the fused module."""
    if index < 0:
        raise Unfusable("a reference to a function that only forwards calls")
    return Constant(b"\xd2" + emit.u32(index), None, index)


def _calculate(cursor: Cursor, code: int, stack: list[Constant]) -> Constant:
    kind, operation = _ARITHMETIC[code]
    operands: Sequence[Constant] = [stack.pop() for _ in range(min(2, len(stack)))]
    values = [each.integer[1] for each in operands if each.integer is not None and each.integer[0] == kind]
    if len(values) != 2:
        raise cursor.fail("a constant expression calculates with something else than two integers")
    return integer(kind, operation(values[1], values[0]))


def heap_type(layout: Layout, module: CoreModule, cursor: Cursor) -> bytes:
    """A heap type, its type index renumbered."""
    start = cursor.at
    heap = cursor.signed(33)
    if heap >= 0:
        return emit.signed(layout.type_index(module.function_type(heap)))
    if heap & 0x7F not in HEAPS:
        raise Unfusable(f"a heap type of the garbage collection proposal at byte {start}")
    return cursor.data[start : cursor.at]
