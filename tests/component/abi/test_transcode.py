"""Strings from one component to another: the allocations the ABI prescribes, and no others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.abi import FakeGuest, guest_with, vectors
from wasmind.component.abi.strings import string_loader
from wasmind.component.abi.transcode import text_loader, text_storer
from wasmind.component.plan import Options
from wasmind.component.types import StringEncoding
from wasmind.errors import GuestTrap


def receiver(encoding: StringEncoding) -> FakeGuest:
    return FakeGuest(1024, Options(0, encoding, "memory", "realloc"))


@pytest.mark.parametrize("number", range(len(vectors("transcode"))))
def test_as_the_reference(number: int) -> None:
    source, target, memory, length, answer, reallocs, text = vectors("transcode")[number]
    source, target = StringEncoding(source), StringEncoding(target)
    sent = text_loader(source)(guest_with(bytes.fromhex(memory), source).cx, 0, length)
    guest = receiver(target)
    assert list(text_storer(source, target)(guest.cx, sent)) == answer
    assert [list(each) for each in guest.reallocs] == reallocs
    assert string_loader(target)(guest.cx, *answer) == text


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_every_text_arrives(text: str) -> None:
    for source in StringEncoding:
        sender = receiver(source)
        codec = "utf-8" if source is StringEncoding.UTF8 else "utf-16-le"
        data = text.encode(codec)
        sender.data[: len(data)] = data
        tag = 1 << 31 if source is StringEncoding.LATIN1_UTF16 else 0
        length = len(data) if codec == "utf-8" else len(data) // 2 | tag
        sent = text_loader(source)(sender.cx, 0, length)
        for target in StringEncoding:
            guest = receiver(target)
            pointer, found = text_storer(source, target)(guest.cx, sent)
            assert string_loader(target)(guest.cx, pointer, found) == text


def test_a_receiver_that_answers_a_place_outside() -> None:
    for source in StringEncoding:
        for target in StringEncoding:
            sent = text_loader(source)(guest_with(b"a\0", source).cx, 0, 1)
            guest = receiver(target)
            guest.answer = 1 << 20
            with pytest.raises(GuestTrap, match="outside"):
                text_storer(source, target)(guest.cx, sent)
