from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wasmind.errors import MemoryFault, MissingMemory
from wasmind.sandbox import Guest, Memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.sandbox import Desk
    from wasmind.sandbox import Program

    Make = Callable[..., Guest[Desk]]

PAGE = 65536


@pytest.fixture
async def memory(make: Make) -> Memory:
    guest = make()
    await guest.start()
    return guest.memory


def test_numbers_are_little_endian_and_need_no_alignment(memory: Memory) -> None:
    memory.set_u64(1001, 0x0102030405060708)
    assert memory.read(1001, 8) == bytes([8, 7, 6, 5, 4, 3, 2, 1])
    assert memory.u64(1001) == 0x0102030405060708
    assert memory.u32(1001) == 0x05060708
    assert memory.u16(1001) == 0x0708
    assert memory.u8(1001) == 8
    memory.set_u32(1003, 2**32 - 1)
    memory.set_u16(1007, 0xABCD)
    memory.set_u8(1009, 255)
    assert memory.read(1003, 7) == b"\xff\xff\xff\xff\xcd\xab\xff"
    memory.set_f32(0, 1.5)
    memory.set_f64(4, -2.25)
    assert memory.read(0, 12) == Struct("<fd").pack(1.5, -2.25)


def test_records_and_lists(memory: Memory) -> None:
    layout = Struct("<IHxxQ")
    memory.pack(layout, 2000, 1, 2, 3)
    assert memory.unpack(layout, 2000) == (1, 2, 3)
    memory.write(3000, Struct("<3I").pack(7, 8, 9))
    assert memory.u32s(3000, 3) == (7, 8, 9)
    assert memory.u32s(3000, 0) == ()


@given(
    data=st.binary(min_size=1, max_size=200),
    cuts=st.lists(st.integers(0, 200), max_size=12),
    at=st.integers(0, 1000),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_buffers_are_gathered_in_their_order(memory: Memory, data: bytes, cuts: list[int], at: int) -> None:
    memory.write(at, data)
    ends = sorted(cut % (len(data) + 1) for cut in cuts)
    spans = [(at + start, end - start) for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]
    memory.write(4000, b"".join(Struct("<2I").pack(*span) for span in spans))
    assert memory.gather(4000, len(spans), len(data)) == data
    assert memory.gather(4000, len(spans), len(data) - 1) is None
    assert memory.gather(4000, 0, 0) == b""


@pytest.mark.parametrize(
    "span", [(PAGE - 3, 4), (PAGE, 1), (2**32 - 1, 1), (0, 2**32 - 1), (2**32 - 1, 2**32 - 1)]
)
def test_a_buffer_that_is_not_wholly_inside_is_a_fault(memory: Memory, span: tuple[int, int]) -> None:
    memory.write(4000, Struct("<4I").pack(0, 4, *span))
    with pytest.raises(MemoryFault, match="outside the function's memory"):
        memory.gather(4000, 2, 1 << 40)
    with pytest.raises(MemoryFault):
        memory.gather(PAGE - 12, 2, 100)


async def test_gathering_sees_growth(make: Make) -> None:
    guest = make()
    await guest.start()
    memory = guest.memory
    await guest.call("grow", 1)
    memory.write(PAGE + 100, b"new")
    memory.write(0, Struct("<2I").pack(PAGE + 100, 3))
    assert memory.gather(0, 1, 10) == b"new"


def test_views_are_in_place(memory: Memory) -> None:
    view = memory.view(100, 4)
    view[:] = b"abcd"
    assert memory.read(99, 6) == b"\0abcd\0"
    view.release()


def test_any_contiguous_buffer_can_be_written(memory: Memory) -> None:
    memory.write(0, bytearray(b"ab"))
    memory.write(2, memoryview(Struct("<2I").pack(1, 2)).cast("I"))
    assert memory.read(0, 10) == b"ab" + Struct("<2I").pack(1, 2)


@pytest.mark.parametrize("at", [0, PAGE])
def test_nothing_can_be_read_at_either_end(memory: Memory, at: int) -> None:
    assert memory.read(at, 0) == b""
    memory.write(at, b"")


@pytest.mark.parametrize(
    ("pointer", "length"),
    [
        (PAGE, 1),
        (PAGE - 1, 2),
        (PAGE + 1, 0),
        (2**32 - 1, 1),
        (0, PAGE + 1),
        (-1, 1),
        (-1, 0),
        (5, -1),
        (2**64, 0),
    ],
)
def test_an_access_that_is_not_wholly_inside_is_a_fault(memory: Memory, pointer: int, length: int) -> None:
    for access in (memory.read, memory.view, memory.u32s):
        with pytest.raises(MemoryFault, match="outside the function's memory"):
            access(pointer, length)
    if length >= 0:
        with pytest.raises(MemoryFault):
            memory.write(pointer, b"x" * length)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    pointer=st.one_of(st.integers(-5, 2**32), st.integers(PAGE - 20, PAGE + 20)),
    length=st.integers(0, 70_000),
)
def test_accesses_agree_with_a_model(memory: Memory, pointer: int, length: int) -> None:
    inside = pointer >= 0 and pointer + length <= PAGE
    if inside:
        assert len(memory.read(pointer, length)) == len(memory.view(pointer, length)) == length
    else:
        with pytest.raises(MemoryFault):
            memory.read(pointer, length)
    for size, read, write in (
        (1, memory.u8, memory.set_u8),
        (2, memory.u16, memory.set_u16),
        (4, memory.u32, memory.set_u32),
        (8, memory.u64, memory.set_u64),
    ):
        if 0 <= pointer <= PAGE - size:
            write(pointer, 200)
            assert read(pointer) == 200
        else:
            with pytest.raises(MemoryFault):
                write(pointer, 200)
            with pytest.raises(MemoryFault):
                read(pointer)


async def test_growth_is_seen(make: Make) -> None:
    guest = make()
    await guest.start()
    with pytest.raises(MemoryFault, match=r"8 bytes at 0x10000 .*"):
        guest.memory.u64(PAGE)
    await guest.call("grow", 1)
    guest.memory.set_u64(2 * PAGE - 8, 1)
    assert guest.memory.u64(2 * PAGE - 8) == 1
    guest.host.act = lambda guest: guest.call_nested("grow", 1) + guest.memory.u32(3 * PAGE - 4)
    assert await guest.call("act") == (2,)


async def test_a_closed_guest_has_no_memory(make: Make) -> None:
    guest = make()
    await guest.start()
    guest.close()
    with pytest.raises(MissingMemory):
        guest.memory.u32(0)
    assert guest.memory.size == PAGE  # what it had, for the figures


@pytest.mark.parametrize(
    "module",
    [
        '(module (memory 1) (func (export "_start")))',
        '(module (func (export "_start")))',
        '(module (func (export "memory")) (func (export "_start")))',
    ],
)
async def test_a_guest_that_exports_no_memory(load: Callable[..., Program], make: Make, module: str) -> None:
    guest = make(None, load(module))
    await guest.start()
    for access in (guest.memory.u32, guest.memory.u8):
        with pytest.raises(MissingMemory, match="no memory to read or write"):
            access(0)
    with pytest.raises(MissingMemory):
        guest.memory.write(0, b"x")
