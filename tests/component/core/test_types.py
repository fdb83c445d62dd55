"""Core types: read, written, and which may stand for which."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmind.component.binary.cursor import Cursor
from wasmind.component.core import emit
from wasmind.component.core.types import (
    CoreFunction,
    CoreGlobal,
    CoreMemory,
    CoreTable,
    CoreTag,
    CoreValue,
    Limits,
    Reference,
    describe,
    matches,
    read_function,
    read_global,
    read_memory,
    read_table,
    read_value,
)
from wasmind.errors import NotWasm, UnsupportedFeature

INNER = CoreFunction(("i32",), ())
numbers = st.sampled_from(["i32", "i64", "f32", "f64", "v128"])
references = st.builds(
    Reference, st.sampled_from(["func", "extern", "exn", "nofunc", "noextern", "noexn", INNER]), st.booleans()
)
values = st.one_of(numbers, references)
functions = st.builds(
    CoreFunction, st.lists(values, max_size=5).map(tuple), st.lists(values, max_size=3).map(tuple)
)


def types(index: int) -> CoreFunction:
    assert index == 7
    return INNER


def index(kind: CoreFunction) -> int:
    assert kind == INNER
    return 7


@given(values)
def test_values_come_back(kind: CoreValue) -> None:
    cursor = Cursor(emit.value(kind, index))
    assert read_value(cursor, types) == kind
    assert cursor.done


@given(functions)
def test_functions_come_back(kind: CoreFunction) -> None:
    cursor = Cursor(emit.function(kind, index))
    cursor.expect(0x60, "a function")
    assert read_function(cursor, types) == kind
    assert cursor.done


@given(references, st.integers(0, 1000), st.none() | st.integers(1000, 2000))
def test_tables_come_back(element: Reference, minimum: int, maximum: int | None) -> None:
    kind = CoreTable(element, Limits(minimum, maximum))
    assert read_table(Cursor(emit.table(kind, index)), types) == kind


@given(st.integers(0, 65536), st.booleans())
def test_memories_come_back(minimum: int, wide: bool) -> None:
    for maximum in (None, 65536):
        kind = CoreMemory(Limits(minimum, maximum, wide))
        assert read_memory(Cursor(emit.memory(kind))) == kind


@given(values, st.booleans())
def test_globals_come_back(value: CoreValue, mutable: bool) -> None:
    kind = CoreGlobal(value, mutable)
    assert read_global(Cursor(emit.global_(kind, index)), types) == kind


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"\x10\x00", "no flags"),
        (b"\x00\x81\x80\x04", "larger than its addresses"),
        (b"\x01\x00\x81\x80\x04", "larger than its addresses"),
        (b"\x02\x01", "a shared memory without a maximum"),
        (b"\x08\x01\x05", "2^5 bytes"),
        (b"\x08\x01\x28", "2^40 bytes"),
        (b"\x0c\x01\xff\xff\xff\xff\x0f", "2^4294967295 bytes"),
    ],
)
def test_impossible_memories_are_malformed(data: bytes, cause: str) -> None:
    with pytest.raises(NotWasm) as caught:
        read_memory(Cursor(data))
    assert cause in (caught.value.cause or "")


def test_types_of_the_garbage_collector_are_refused() -> None:
    for code in (0x6B, 0x6C, 0x6D, 0x6E, 0x71):
        with pytest.raises(UnsupportedFeature, match="garbage collection"):
            read_value(Cursor(bytes((code,))), types)
    with pytest.raises(NotWasm, match="malformed"):
        read_value(Cursor(b"\x20"), types)
    with pytest.raises(NotWasm):
        read_global(Cursor(b"\x7f\x02"), types)


@pytest.mark.parametrize(
    ("found", "wanted", "fits"),
    [
        (INNER, INNER, True),
        (INNER, CoreFunction(("i32",), ("i32",)), False),
        (CoreMemory(Limits(2)), CoreMemory(Limits(1)), True),
        (CoreMemory(Limits(1)), CoreMemory(Limits(2)), False),
        (CoreMemory(Limits(1)), CoreMemory(Limits(1, 5)), False),
        (CoreMemory(Limits(1, 5)), CoreMemory(Limits(1, 5)), True),
        (CoreMemory(Limits(1, 6)), CoreMemory(Limits(1, 5)), False),
        (CoreMemory(Limits(1, 6)), CoreMemory(Limits(1)), True),
        (CoreMemory(Limits(1, wide=True)), CoreMemory(Limits(1)), False),
        (CoreMemory(Limits(1, page=16)), CoreMemory(Limits(1)), True),
        (CoreMemory(Limits(1, page=0)), CoreMemory(Limits(1)), False),
        (CoreTable(Reference("func"), Limits(3)), CoreTable(Reference("func"), Limits(2)), True),
        (CoreTable(Reference("extern"), Limits(3)), CoreTable(Reference("func"), Limits(2)), False),
        (CoreGlobal("i32", True), CoreGlobal("i32", True), True),
        (CoreGlobal("i32", True), CoreGlobal("i32", False), False),
        (CoreTag(INNER), CoreTag(INNER), True),
        (CoreTag(INNER), INNER, False),
    ],
)
def test_what_may_be_given_for_an_import(found: object, wanted: object, fits: bool) -> None:
    assert matches(found, wanted) is fits  # type: ignore[arg-type]


def test_types_are_described_in_words() -> None:
    assert describe(CoreFunction(("i32", "f64"), ("i64",))) == "func [i32 f64] -> [i64]"
    assert describe(CoreGlobal("i32", True)) == "global mut i32"
    assert describe(CoreMemory(Limits(1, 2))) == "memory 1..2"
    assert describe(CoreTable(Reference("func"), Limits(0))) == "table 0..None of ref func"
    assert describe(CoreTag(INNER)) == "tag of func [i32] -> []"
