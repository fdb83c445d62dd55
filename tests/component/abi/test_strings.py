"""Strings in three encodings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.abi import FakeGuest, guest_with
from wasmind.component.abi.layout import MAX_BYTES
from wasmind.component.abi.strings import UTF16_TAG, string_loader, string_storer
from wasmind.component.plan import Options
from wasmind.component.types import StringEncoding
from wasmind.errors import GuestTrap, LimitExceeded

UTF8, UTF16, COMPACT = StringEncoding.UTF8, StringEncoding.UTF16, StringEncoding.LATIN1_UTF16
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def stored(text: str, encoding: StringEncoding) -> tuple[FakeGuest, int, int]:
    guest = FakeGuest(1024, Options(0, encoding, "memory", "realloc"))
    return guest, *string_storer(encoding)(guest.cx, text)


@given(TEXTS)
def test_they_come_back(text: str) -> None:
    for encoding in StringEncoding:
        guest, pointer, length = stored(text, encoding)
        assert string_loader(encoding)(guest.cx, pointer, length) == text
        assert len(guest.reallocs) == 1


@pytest.mark.parametrize(
    ("encoding", "text", "data", "length", "align"),
    [
        (UTF8, "hé", b"h\xc3\xa9", 3, 1),
        (UTF16, "hé", b"h\0\xe9\0", 2, 2),
        (UTF16, "😀", b"\x3d\xd8\x00\xde", 2, 2),
        (COMPACT, "hé", b"h\xe9", 2, 2),
        (COMPACT, "€", b"\xac\x20", 1 | UTF16_TAG, 2),
    ],
)
def test_how_they_lie(encoding: StringEncoding, text: str, data: bytes, length: int, align: int) -> None:
    guest, pointer, found = stored(text, encoding)
    assert found == length
    assert guest.data[pointer : pointer + len(data)] == data
    assert guest.reallocs == [(0, 0, align, len(data))]


@pytest.mark.parametrize(
    ("encoding", "data", "length"),
    [
        (UTF8, b"\xff", 1),
        (UTF8, b"\xc3", 1),
        (UTF8, b"\xed\xa0\x80", 3),  # a surrogate
        (UTF8, b"\xc0\x80", 2),  # an overlong NUL
        (UTF16, b"\x00\xd8", 1),
        (UTF16, b"\x00\xdc\x00\xd8", 2),
        (COMPACT, b"\x00\xd8", 1 | UTF16_TAG),
    ],
)
def test_malformed(encoding: StringEncoding, data: bytes, length: int) -> None:
    with pytest.raises(GuestTrap, match="a string is not utf"):
        string_loader(encoding)(guest_with(data, encoding).cx, 0, length)


@pytest.mark.parametrize(("encoding", "length"), [(UTF16, 1), (COMPACT, 1), (COMPACT, 1 | UTF16_TAG)])
def test_misaligned(encoding: StringEncoding, length: int) -> None:
    with pytest.raises(GuestTrap, match="multiple of 2"):
        string_loader(encoding)(guest_with(bytes(8), encoding).cx, 1, length)


@pytest.mark.parametrize(
    ("encoding", "length"),
    [(UTF8, MAX_BYTES + 1), (UTF16, MAX_BYTES // 2 + 1), (UTF16, 0xFFFFFFFF), (COMPACT, 0xFFFFFFFF)],
)
def test_too_long(encoding: StringEncoding, length: int) -> None:
    with pytest.raises(GuestTrap, match="a string of"):
        string_loader(encoding)(guest_with(bytes(8), encoding).cx, 0, length)


@pytest.mark.parametrize("encoding", StringEncoding)
def test_outside_the_memory(encoding: StringEncoding) -> None:
    load = string_loader(encoding)
    for pointer, length in ((8, 2), (0xFFFFFFF0, 1), (0, 10)):
        with pytest.raises(GuestTrap, match="outside"):
            load(guest_with(bytes(8), encoding).cx, pointer, length)
    assert load(guest_with(bytes(8), encoding).cx, 8, 0) == ""


@pytest.mark.parametrize("encoding", StringEncoding)
def test_each_costs_what_it_copies(encoding: StringEncoding) -> None:
    guest = guest_with(bytes(64), encoding)
    guest.cx.budget = 50
    load = string_loader(encoding)
    load(guest.cx, 0, 16)
    assert guest.cx.budget == (18 if encoding is UTF16 else 34)
    guest.cx.budget = 15
    with pytest.raises(LimitExceeded):
        load(guest.cx, 0, 16)
