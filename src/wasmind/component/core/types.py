"""The core types that linking compares, with their indices resolved (core specification, 5.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from wasmind.component.binary.cursor import Cursor
from wasmind.errors import UnsupportedFeature

NUMBERS = {0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64", 0x7B: "v128"}
HEAPS = {
    0x70: "func",
    0x6F: "extern",
    0x69: "exn",
    0x73: "nofunc",
    0x72: "noextern",
    0x74: "noexn",
}
"""Abstract heap types; those of the garbage collection proposal are not offered."""
MAX_PARAMS = 1_000


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference: to any function ("func"), to a host's thing ("extern"), to functions of one type, …"""

    heap: str | CoreFunction
    nullable: bool = True


CoreValue: TypeAlias = str | Reference
"""A number type by its name, or a reference."""


@dataclass(frozen=True, slots=True)
class CoreFunction:
    """The type of a function."""

    params: tuple[CoreValue, ...]
    results: tuple[CoreValue, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a table or memory is, in elements or pages, and may become."""

    minimum: int
    maximum: int | None = None
    wide: bool = False
    """Addressed with 64 bits."""
    shared: bool = False
    page: int | None = None
    """The binary logarithm of a memory's page size, if it says one."""


@dataclass(frozen=True, slots=True)
class CoreTable:
    """The type of a table."""

    element: Reference
    limits: Limits


@dataclass(frozen=True, slots=True)
class CoreMemory:
    """The type of a memory."""

    limits: Limits


@dataclass(frozen=True, slots=True)
class CoreGlobal:
    """The type of a global."""

    value: CoreValue
    mutable: bool


@dataclass(frozen=True, slots=True)
class CoreTag:
    """The type of an exception's tag."""

    function: CoreFunction


CoreExtern: TypeAlias = CoreFunction | CoreTable | CoreMemory | CoreGlobal | CoreTag
"""What a module imports or exports."""


def matches(found: CoreExtern, wanted: CoreExtern) -> bool:
    """Whether `found` may be given where `wanted` is imported (core specification, 3.3)."""
    if isinstance(found, CoreMemory) and isinstance(wanted, CoreMemory):
        return _limits_match(found.limits, wanted.limits)
    if isinstance(found, CoreTable) and isinstance(wanted, CoreTable):
        return found.element == wanted.element and _limits_match(found.limits, wanted.limits)
    return found == wanted


def _limits_match(found: Limits, wanted: Limits) -> bool:
    if (found.wide, found.shared, _page(found)) != (wanted.wide, wanted.shared, _page(wanted)):
        return False
    if found.minimum < wanted.minimum:
        return False
    return wanted.maximum is None or (found.maximum is not None and found.maximum <= wanted.maximum)


def _page(kind: Limits) -> int:
    return 16 if kind.page is None else kind.page


def describe(kind: CoreExtern) -> str:
    """The kind in the field's words, for errors."""
    match kind:
        case CoreFunction(params, results):
            return f"func [{_names(params)}] -> [{_names(results)}]"
        case CoreTable(element, limits):
            return f"table {limits.minimum}..{limits.maximum} of {_names((element,))}"
        case CoreMemory(limits):
            return f"memory {limits.minimum}..{limits.maximum}"
        case CoreGlobal(value, mutable):
            return f"global {'mut ' * mutable}{_names((value,))}"
        case CoreTag(function):
            return f"tag of {describe(function)}"


def _names(values: Sequence[CoreValue]) -> str:
    return " ".join(
        value
        if isinstance(value, str)
        else f"ref {value.heap if isinstance(value.heap, str) else 'func type'}"
        for value in values
    )


# --- reading -------------------------------------------------------------------------------------------

Types: TypeAlias = Callable[[int], CoreFunction]
"""The function type with an index; it raises if there is none."""


def read_value(cursor: Cursor, types: Types) -> CoreValue:
    """A value type."""
    number = NUMBERS.get(cursor.peek())
    if number is not None:
        cursor.byte()
        return number
    return read_reference(cursor, types)


def read_reference(cursor: Cursor, types: Types) -> Reference:
    """A reference type."""
    start, code = cursor.at, cursor.byte()
    if code in (0x63, 0x64):
        heap = cursor.signed(33)
        if heap >= 0:
            return Reference(types(heap), code == 0x63)
        code, nullable = heap & 0x7F, code == 0x63
    else:
        nullable = True
    if code in HEAPS:
        return Reference(HEAPS[code], nullable)
    if 0x65 <= code <= 0x75:
        raise UnsupportedFeature(f"a type of the garbage collection proposal (0x{code:02x}) at byte {start}")
    raise cursor.fail(f"0x{code:02x} is no value type", start)


def read_function(cursor: Cursor, types: Types) -> CoreFunction:
    """A function type, behind its 0x60."""
    params = cursor.vector(lambda c: read_value(c, types))
    results = cursor.vector(lambda c: read_value(c, types))
    if max(len(params), len(results)) > MAX_PARAMS:
        raise cursor.fail(f"a function type of more than {MAX_PARAMS} parameters or results")
    return CoreFunction(tuple(params), tuple(results))


def read_limits(cursor: Cursor, flags: int) -> Limits:
    """Limits, behind their flags."""
    wide = bool(flags & 4)
    number = cursor.u64 if wide else cursor.u32
    minimum = number()
    maximum = number() if flags & 1 else None
    page = cursor.u32() if flags & 8 else None
    return Limits(minimum, maximum, wide, bool(flags & 2), page)


def read_table(cursor: Cursor, types: Types) -> CoreTable:
    """A table type."""
    element = read_reference(cursor, types)
    flags = cursor.byte()
    if flags > 7:
        raise cursor.fail(f"0x{flags:02x} are no flags of a table", cursor.at - 1)
    return CoreTable(element, read_limits(cursor, flags))


def read_memory(cursor: Cursor) -> CoreMemory:
    """A memory type."""
    flags = cursor.byte()
    if flags > 15:
        raise cursor.fail(f"0x{flags:02x} are no flags of a memory", cursor.at - 1)
    limits = read_limits(cursor, flags)
    if limits.shared and limits.maximum is None:
        raise cursor.fail("a shared memory without a maximum")
    page = 16 if limits.page is None else limits.page
    if page not in (0, 16):
        raise cursor.fail(f"a memory whose pages have 2^{page} bytes, neither 1 nor 65536")
    if max(limits.minimum, limits.maximum or 0) > 1 << ((64 if limits.wide else 32) - page):
        raise cursor.fail("a memory larger than its addresses")
    return CoreMemory(limits)


def read_global(cursor: Cursor, types: Types) -> CoreGlobal:
    """A global's type."""
    value = read_value(cursor, types)
    mutable = cursor.byte()
    if mutable > 1:
        raise cursor.fail(f"0x{mutable:02x} says not whether a global is mutable", cursor.at - 1)
    return CoreGlobal(value, bool(mutable))
