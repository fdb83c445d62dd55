"""Strings that pass from one component to another (CanonicalABI.md, "Storing").

The host's own strings are stored in one allocation of the right size. For a component's strings the ABI says
which allocations are made, by the encodings on both sides, since the receiver's realloc can see them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from wasmind.component.abi.context import Context
from wasmind.component.abi.strings import UTF16_TAG, string_loader
from wasmind.component.types import StringEncoding


class Text(NamedTuple):
    """A string as its sender keeps it."""

    value: str
    units: int
    """Its length in code units: bytes, or 16-bit units."""
    tagged: bool
    """In latin1+utf16: whether it is UTF-16."""


StoreText: TypeAlias = Callable[[Context, Text], tuple[int, int]]


def text_loader(encoding: StringEncoding) -> Callable[[Context, int, int], Text]:
    """How strings are lifted that another component will receive."""
    load = string_loader(encoding)
    if encoding is not StringEncoding.LATIN1_UTF16:
        return lambda cx, pointer, length: Text(load(cx, pointer, length), length, tagged=False)
    return lambda cx, pointer, length: Text(
        load(cx, pointer, length), length & ~UTF16_TAG, tagged=bool(length & UTF16_TAG)
    )


def text_storer(source: StringEncoding, target: StringEncoding) -> StoreText:
    """How they are lowered into the receiver."""
    match target, source:
        case StringEncoding.UTF8, StringEncoding.UTF8:
            return lambda cx, text: _copy(cx, text, "utf-8", 1, 1)
        case StringEncoding.UTF8, _:
            worst = 3 if source is StringEncoding.UTF16 else 2
            return lambda cx, text: _to_utf8(cx, text, 3 if text.tagged else worst)
        case StringEncoding.UTF16, StringEncoding.UTF8:
            return _utf8_to_utf16
        case StringEncoding.UTF16, _:
            return lambda cx, text: _copy(cx, text, "utf-16-le", 2, 2)
        case _, StringEncoding.LATIN1_UTF16:
            return lambda cx, text: (
                _probably_utf16(cx, text) if text.tagged else _copy(cx, text, "latin-1", 1, 2)
            )
        case _:
            return _to_latin1_or_utf16


def _copy(cx: Context, text: Text, codec: str, unit: int, align: int) -> tuple[int, int]:
    return _write(cx, cx.allocate(align, unit * text.units), text.value.encode(codec)), text.units


def _to_utf8(cx: Context, text: Text, worst: int) -> tuple[int, int]:
    pointer = cx.allocate(1, text.units)
    if text.value.isascii():
        return _write(cx, pointer, text.value.encode()), text.units
    pointer = cx.reallocate(pointer, text.units, 1, worst * text.units)
    data = text.value.encode()
    _write(cx, pointer, data)
    return _shrink(cx, pointer, worst * text.units, 1, len(data)), len(data)


def _utf8_to_utf16(cx: Context, text: Text) -> tuple[int, int]:
    pointer = cx.allocate(2, 2 * text.units)
    data = text.value.encode("utf-16-le")
    _write(cx, pointer, data)
    return _shrink(cx, pointer, 2 * text.units, 2, len(data)), len(data) >> 1


def _to_latin1_or_utf16(cx: Context, text: Text) -> tuple[int, int]:
    pointer = cx.allocate(2, text.units)
    try:
        data = text.value.encode("latin-1")
    except UnicodeEncodeError:
        pointer = cx.reallocate(pointer, text.units, 2, 2 * text.units)
        data = text.value.encode("utf-16-le")
        _write(cx, pointer, data)
        return _shrink(cx, pointer, 2 * text.units, 2, len(data)), len(data) >> 1 | UTF16_TAG
    _write(cx, pointer, data)
    return _shrink(cx, pointer, text.units, 2, len(data)), len(data)


def _probably_utf16(cx: Context, text: Text) -> tuple[int, int]:
    pointer = cx.allocate(2, 2 * text.units)
    try:
        data = text.value.encode("latin-1")
    except UnicodeEncodeError:
        return _write(cx, pointer, text.value.encode("utf-16-le")), text.units | UTF16_TAG
    _write(cx, pointer, data)
    return cx.reallocate(pointer, 2 * text.units, 1, len(data)), len(data)


def _write(cx: Context, pointer: int, data: bytes) -> int:
    cx.buffer[pointer : pointer + len(data)] = data
    return pointer


def _shrink(cx: Context, pointer: int, old: int, align: int, size: int) -> int:
    return cx.reallocate(pointer, old, align, size) if size < old else pointer
