"""Numbers, names and vectors, and where they go wrong."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmind.component.binary.cursor import MAX_NAME, Cursor
from wasmind.component.core import emit
from wasmind.errors import NotWasm, ProgramError, ProgramTooLarge


@given(st.integers(0, (1 << 32) - 1))
def test_unsigned_numbers_come_back(value: int) -> None:
    cursor = Cursor(emit.u32(value))
    assert cursor.u32() == value
    assert cursor.done


@given(st.integers(0, (1 << 64) - 1))
def test_long_unsigned_numbers_come_back(value: int) -> None:
    assert Cursor(emit.u32(value)).u64() == value


@pytest.mark.parametrize("bits", [32, 33, 64])
@given(data=st.data())
def test_signed_numbers_come_back(bits: int, data: st.DataObject) -> None:
    value = data.draw(st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1))
    cursor = Cursor(emit.signed(value))
    assert cursor.signed(bits) == value
    assert cursor.done


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x80\x80\x80\x10",  # 2**32
        b"\xff\xff\xff\xff\x1f",
        b"\x80\x80\x80\x80\x80\x00",  # six bytes
    ],
)
def test_a_number_of_more_than_32_bits_is_malformed(data: bytes) -> None:
    with pytest.raises(NotWasm, match="malformed at byte 0") as caught:
        Cursor(data).u32()
    assert caught.value.cause == "a number of more than 32 bits"


def test_a_long_form_of_a_small_number_is_fine() -> None:
    assert Cursor(b"\x81\x80\x80\x80\x00").u32() == 1
    assert Cursor(b"\xff\xff\xff\xff\x7f").signed(32) == -1


@pytest.mark.parametrize(
    ("data", "bits"),
    [
        (b"\x80\x80\x80\x80\x08", 32),
        (b"\xff\xff\xff\xff\x77", 32),
        (b"\x80\x80\x80\x80\x80\x00", 32),
        (b"\x80\x80\x80\x80\x10", 33),
        (b"\x80" * 9 + b"\x01", 64),
    ],
)
def test_a_signed_number_of_too_many_bits_is_malformed(data: bytes, bits: int) -> None:
    with pytest.raises(NotWasm):
        Cursor(data).signed(bits)


def test_an_early_end_tells_where() -> None:
    with pytest.raises(NotWasm, match="malformed at byte 4") as caught:
        Cursor(b"abc\x80", 3, 4).u32()
    assert caught.value.cause == "unexpected end"


def test_names_are_utf8_and_limited() -> None:
    assert Cursor(emit.name("wasi:io/poll ☃")).name() == "wasi:io/poll ☃"
    with pytest.raises(NotWasm, match="byte 1"):
        Cursor(b"\x01\xff").name()
    with pytest.raises(ProgramTooLarge):
        Cursor(emit.u32(MAX_NAME + 1)).name()


def test_a_vector_cannot_announce_more_items_than_bytes() -> None:
    assert Cursor(b"\x03abc").vector(Cursor.byte) == [*b"abc"]
    with pytest.raises(NotWasm, match="byte 0"):
        Cursor(b"\x04abc").vector(Cursor.byte)
    with pytest.raises(ProgramTooLarge):
        Cursor(emit.u32(1_000_001) + bytes(2_000_000)).count()


def test_optional_items() -> None:
    assert Cursor(b"\x00").maybe(Cursor.byte) is None
    assert Cursor(b"\x01\x07").maybe(Cursor.byte) == 7
    with pytest.raises(NotWasm):
        Cursor(b"\x02\x07").maybe(Cursor.byte)


def test_a_part_has_its_own_end() -> None:
    cursor = Cursor(b"\x02abcd")
    part = cursor.within(cursor.u32())
    assert part.bytes(2) == b"ab"
    assert part.done
    with pytest.raises(NotWasm):
        part.byte()
    assert cursor.bytes(2) == b"cd"
    with pytest.raises(NotWasm, match="left over"):
        raise_from(Cursor(b"x"))


def raise_from(cursor: Cursor) -> None:
    try:
        cursor.finish("the end")
    except ProgramError as error:
        raise NotWasm(error.cause or "") from error


def test_an_expected_byte() -> None:
    Cursor(b"\x40").expect(0x40, "a tag")
    with pytest.raises(NotWasm) as caught:
        Cursor(b"\x41").expect(0x40, "a tag")
    assert caught.value.cause == "expected a tag (0x40), found 0x41"


@given(st.binary(max_size=40))
def test_whatever_the_bytes_only_our_errors_come(data: bytes) -> None:
    for read in (Cursor.u32, Cursor.u64, Cursor.name, Cursor.count, lambda c: c.signed(33)):
        with contextlib.suppress(ProgramError):
            read(Cursor(data))
