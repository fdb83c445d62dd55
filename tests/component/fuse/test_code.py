"""Instructions: whatever they are, every index is translated and all else stays, byte by byte."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wasmind.component.binary.cursor import Cursor
from wasmind.component.core import emit
from wasmind.component.core.module import CoreModule, Kind, Span
from wasmind.component.core.types import CoreFunction, CoreGlobal, CoreMemory, CoreTable, Limits, Reference
from wasmind.component.fuse import Unfusable
from wasmind.component.fuse.code import Translator
from wasmind.component.fuse.constants import Constants
from wasmind.component.fuse.layout import Layout, Part
from wasmind.errors import NotWasm, ProgramError

COUNT = 300
"""How many members each index space of the test's module has: indices of one byte and of two."""
TYPES = [CoreFunction(("i32",) * n, ()) for n in range(COUNT)]

Immediate = Callable[[int, bool], bytes]
"""An immediate as it is before (False) and after (True), made from a number."""


def shifted(by: int) -> Immediate:
    return lambda number, after: emit.u32(number % COUNT + by * after)


def same(number: int, _after: bool) -> bytes:
    return emit.u32(number)


def constant(bits: int) -> Immediate:
    return lambda number, _: emit.signed((number * 7919) % (1 << bits) - (1 << (bits - 1)))


def raw(length: int) -> Immediate:
    return lambda number, _: bytes((number * 31 + n) % 256 for n in range(length))


def type_index(number: int, after: bool) -> bytes:
    # Types are numbered anew in the order they are met; the layout knows them in reverse order.
    return emit.u32(COUNT - 1 - number % COUNT if after else number % COUNT)


def block(number: int, after: bool) -> bytes:
    kinds = (b"\x40", b"\x7f", b"\x7e", b"\x7d", b"\x7c", b"\x7b", b"\x70", b"\x6f")
    if number % 2:
        return kinds[number // 2 % len(kinds)]
    index = number % COUNT
    return emit.signed(COUNT - 1 - index if after else index)


def heap(number: int, after: bool) -> bytes:
    return (b"\x70", b"\x6f", block(number - number % 2, after))[number % 3]


def reference_block(number: int, after: bool) -> bytes:
    return b"\x63" + block(number - number % 2, after)


def branches(number: int, _after: bool) -> bytes:
    labels = [emit.u32(n * 3) for n in range(number % 400)]
    return emit.vector(labels) + emit.u32(number)


def catches(number: int, after: bool) -> bytes:
    clauses = [
        bytes((n,)) + (TAG(number + n, after) if n < 2 else b"") + emit.u32(n)
        for n in range(number % 5)
        if n < 4
    ]
    return emit.vector(clauses)


def typed_select(number: int, after: bool) -> bytes:
    return b"\x01" + (b"\x7f" if number % 2 else reference_block(number, after))


def memory_argument(number: int, after: bool) -> bytes:
    align = number % 4
    if not after:
        return emit.u32(align) + emit.u32(number)
    return emit.u32(align | 0x40) + emit.u32(2) + emit.u32(number)


def memory_index(_number: int, after: bool) -> bytes:
    return b"\x02" if after else b"\x00"


FUNC, GLOBAL, TABLE, TAG = shifted(1000), shifted(50), shifted(20), shifted(7)
DATA, ELEMENT = shifted(11), shifted(13)

INSTRUCTIONS: dict[bytes, tuple[Immediate, ...]] = {
    **{bytes((code,)): () for code in (0x00, 0x01, 0x05, 0x0A, 0x0B, 0x0F, 0x1A, 0x1B, 0xD1, 0xD4)},
    **{bytes((code,)): () for code in range(0x45, 0xC5)},
    **{bytes((code,)): (same,) for code in (0x0C, 0x0D, 0x20, 0x21, 0x22, 0xD5, 0xD6)},
    **{bytes((code,)): (block,) for code in (0x02, 0x03, 0x04)},
    **{bytes((code,)): (memory_argument,) for code in range(0x28, 0x3F)},
    b"\x3f": (memory_index,),
    b"\x40": (memory_index,),
    b"\x41": (constant(32),),
    b"\x42": (constant(64),),
    b"\x43": (raw(4),),
    b"\x44": (raw(8),),
    b"\x08": (TAG,),
    b"\x0e": (branches,),
    b"\x10": (FUNC,),
    b"\x11": (type_index, TABLE),
    b"\x12": (FUNC,),
    b"\x13": (type_index, TABLE),
    b"\x14": (type_index,),
    b"\x15": (type_index,),
    b"\x1c": (typed_select,),
    b"\x1f": (block, catches),
    b"\x23": (GLOBAL,),
    b"\x24": (GLOBAL,),
    b"\x25": (TABLE,),
    b"\x26": (TABLE,),
    b"\xd0": (heap,),
    b"\xd2": (FUNC,),
    **{b"\xfc" + bytes((code,)): () for code in range(8)},
    b"\xfc\x08": (DATA, memory_index),
    b"\xfc\x09": (DATA,),
    b"\xfc\x0a": (memory_index, memory_index),
    b"\xfc\x0b": (memory_index,),
    b"\xfc\x0c": (ELEMENT, TABLE),
    b"\xfc\x0d": (ELEMENT,),
    b"\xfc\x0e": (TABLE, TABLE),
    b"\xfc\x0f": (TABLE,),
    b"\xfc\x10": (TABLE,),
    b"\xfc\x11": (TABLE,),
    **{b"\xfd" + bytes((code,)): (memory_argument,) for code in (*range(0x0C), 0x5C, 0x5D)},
    **{b"\xfd" + bytes((code,)): (memory_argument, raw(1)) for code in range(0x54, 0x5C)},
    **{b"\xfd" + bytes((code,)): (raw(16),) for code in (0x0C, 0x0D)},
    **{b"\xfd" + bytes((code,)): (raw(1),) for code in range(0x15, 0x23)},
    **{b"\xfd" + bytes((code,)): () for code in (*range(0x0E, 0x15), *range(0x23, 0x54), 0x5E, 0x7F)},
    **{b"\xfd" + emit.u32(code): () for code in (*range(0x80, 0x114),)},
}
"""Every instruction, by its opcode, with its immediates."""


def part(memory: int, data: bytes = b"") -> tuple[Part, Layout]:
    """An instance whose indices all translate to others, and whose memory 0 becomes `memory`."""
    module = CoreModule(data, Span(0, len(data)), types=TYPES)
    module.globals = [CoreGlobal("i32", True)] * COUNT
    module.global_inits = [Span(0, 0)] * COUNT
    module.memories = [CoreMemory(Limits(1))]
    module.tables = [CoreTable(Reference("func"), Limits(1))] * COUNT
    made = Part(module, ())
    made.entities = {Kind.GLOBAL: [(0, n) for n in range(COUNT)]}
    shifts = {Kind.FUNC: 1000, Kind.GLOBAL: 50, Kind.TABLE: 20, Kind.TAG: 7}
    made.maps = {kind: [n + by for n in range(COUNT)] for kind, by in shifts.items()}
    made.maps[Kind.MEMORY] = [memory]
    made.datas, made.elements = 11, 13
    layout = Layout([], [], 0, [], [], [], [], {kind: COUNT - 1 - n for n, kind in enumerate(TYPES)})
    layout.parts = [made]
    return made, layout


class NoConstants(Constants):
    """Globals that all change."""

    def __init__(self) -> None:
        pass

    def immutable(self, entity: tuple[int, int]) -> None:
        return None


def translate(body: bytes, memory: int = 2) -> bytes:
    made, layout = part(memory)
    return Translator(made, layout, NoConstants()).body(Cursor(body))


def write(stream: list[tuple[bytes, int]], after: bool) -> bytes:
    return b"".join(
        code + b"".join(immediate(number, after) for immediate in INSTRUCTIONS[code])
        for code, number in stream
    )


@pytest.mark.parametrize("code", INSTRUCTIONS, ids=bytes.hex)
def test_each_instruction(code: bytes) -> None:
    for number in (0, 1, 2, 3, 127, 128, 129, 255, 299, 399):
        stream = [(b"\x01", 0), (code, number), (b"\x01", 0)]
        assert translate(b"\0" + write(stream, False)) == b"\0" + write(stream, True)


@settings(max_examples=2 * settings.default.max_examples, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(list(INSTRUCTIONS)), st.integers(0, 400)), max_size=80))
def test_any_sequence_of_instructions(stream: list[tuple[bytes, int]]) -> None:
    assert translate(b"\0" + write(stream, False)) == b"\0" + write(stream, True)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.sampled_from([code for code in INSTRUCTIONS if memory_argument in INSTRUCTIONS[code]]), max_size=40
    )
)
def test_memory_0_stays_as_it_is_when_it_is_the_fused_memory_0(codes: list[bytes]) -> None:
    body = b"\0" + write([(code, 5) for code in codes], False)
    assert translate(body, memory=0) == body


def test_functions_that_references_are_made_to_are_remembered() -> None:
    made, layout = part(0)
    translator = Translator(made, layout, NoConstants())
    translator.body(Cursor(b"\0\xd2\x05\x10\x06\xd2\x07\x0b"))
    assert translator.referenced == {1005, 1007}


def test_local_variables_of_typed_references_get_new_types() -> None:
    body = emit.vector([b"\x02\x7f", b"\x01\x63\x05", b"\x01\x70"]) + b"\x0b"
    assert (
        translate(body)
        == emit.vector([b"\x02\x7f", b"\x01\x63" + emit.signed(COUNT - 6), b"\x01\x70"]) + b"\x0b"
    )


def test_many_groups_of_local_variables_stay() -> None:
    body = emit.vector([b"\x81\x01\x7f"] * 40) + b"\x0b"
    assert translate(body) == body


def test_an_overlong_index_is_read_as_what_it_is() -> None:
    assert translate(b"\0\x10\x85\x80\x00\x0b") == b"\0\x10" + emit.u32(1005) + b"\x0b"


def test_an_overlong_alignment_is_read_as_what_it_is() -> None:
    assert translate(b"\0\x28\x82\x00\x05\x0b", memory=0) == b"\0\x28\x02\x05\x0b"


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (b"\x10\xac\x02", "there is no func 300"),
        (b"\x23\xac\x02", "there is no global 300"),
        (b"\x25\xac\x02", "there is no table 300"),
        (b"\x28\x40\x01\x00", "there is no memory 1"),
        (b"\x11\xac\x02\x00", "there is no type"),
        (b"\x10", "unexpected end"),
        (b"\x44\x00", "0x44"),
        (b"\x0e\x05\x00", "bytes are left"),
    ],
)
def test_wrong_indices_and_early_ends_are_malformed(code: bytes, cause: str) -> None:
    with pytest.raises(ProgramError) as caught:
        translate(b"\0" + code)
    assert cause in caught.value.explain()


@pytest.mark.parametrize(
    "code", [b"\x06\x40", b"\xfb\x00\x00", b"\xfe\x00\x02\x00", b"\xfc\x20", b"\xff", b"\x16"]
)
def test_instructions_that_are_not_known_cannot_be_fused(code: bytes) -> None:
    with pytest.raises(Unfusable, match="the instruction 0x"):
        translate(b"\0" + code + b"\0\0\0\0\x0b")


@settings(max_examples=3 * settings.default.max_examples, deadline=None)
@given(st.binary(max_size=200))
def test_whatever_the_bytes_only_our_errors_come(data: bytes) -> None:
    try:
        translate(data)
    except (NotWasm, Unfusable):
        return
    except ProgramError as error:
        assert error.code in ("program-too-large", "program-unsupported")  # noqa: PT017
