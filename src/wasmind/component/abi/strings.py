"""Strings in the three encodings a component may keep them in (CanonicalABI.md, "Loading" and "Storing")."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from wasmind.component.abi.context import Context, misaligned
from wasmind.component.abi.layout import MAX_BYTES
from wasmind.component.types import StringEncoding
from wasmind.errors import GuestTrap

UTF16_TAG = 1 << 31
"""In latin1+utf16, the bit of the length that says UTF-16."""

LoadString: TypeAlias = Callable[[Context, int, int], str]
"""Read the string at a pointer with a length, as the guest gives both."""

StoreString: TypeAlias = Callable[[Context, str], tuple[int, int]]
"""Copy a string into fresh guest memory; gives the pointer and the length, as the guest expects both."""


def string_loader(encoding: StringEncoding) -> LoadString:
    """How strings are lifted from a guest with this encoding."""
    return _LOADERS[encoding]


def string_storer(encoding: StringEncoding) -> StoreString:
    """How the host's strings are lowered into a guest with this encoding: in one allocation."""
    return _STORERS[encoding]


def _load(cx: Context, pointer: int, size: int, codec: str) -> str:
    if size > MAX_BYTES:
        raise GuestTrap(f"a string of {size} bytes", cause=f"the longest has {MAX_BYTES}")
    end = pointer + size
    if end > len(cx.buffer):
        cx.reach(end)
    cx.spend(size)
    try:
        return str(cx.buffer[pointer:end], codec)
    except UnicodeDecodeError as error:
        raise _malformed(error) from error


def _malformed(error: UnicodeDecodeError) -> GuestTrap:
    return GuestTrap(f"a string is not {error.encoding}", cause=f"{error.reason} at byte {error.start}")


def _load_utf8(cx: Context, pointer: int, length: int) -> str:
    end = pointer + length
    if length > MAX_BYTES or end > len(cx.buffer):
        return _load(cx, pointer, length, "utf-8")
    cx.budget -= length
    if cx.budget < 0:
        cx.spend(0)
    try:
        return str(cx.buffer[pointer:end], "utf-8")
    except UnicodeDecodeError as error:
        raise _malformed(error) from error


def _load_utf16(cx: Context, pointer: int, length: int) -> str:
    if pointer & 1:
        misaligned(pointer, 2)
    return _load(cx, pointer, 2 * length, "utf-16-le")


def _load_latin1_utf16(cx: Context, pointer: int, length: int) -> str:
    if length & UTF16_TAG:
        return _load_utf16(cx, pointer, length ^ UTF16_TAG)
    if pointer & 1:
        misaligned(pointer, 2)
    return _load(cx, pointer, length, "latin-1")


def _store(cx: Context, data: bytes, align: int) -> int:
    size = len(data)
    if size > MAX_BYTES:
        raise GuestTrap(f"a string of {size} bytes for the function", cause=f"the longest has {MAX_BYTES}")
    pointer = cx.allocate(align, size)
    cx.buffer[pointer : pointer + size] = data
    return pointer


def _store_utf8(cx: Context, value: str) -> tuple[int, int]:
    data = value.encode()
    return _store(cx, data, 1), len(data)


def _store_utf16(cx: Context, value: str) -> tuple[int, int]:
    data = value.encode("utf-16-le")
    return _store(cx, data, 2), len(data) >> 1


def _store_latin1_utf16(cx: Context, value: str) -> tuple[int, int]:
    try:
        data = value.encode("latin-1")
    except UnicodeEncodeError:
        pointer, length = _store_utf16(cx, value)
        return pointer, length | UTF16_TAG
    return _store(cx, data, 2), len(data)


_LOADERS: dict[StringEncoding, LoadString] = {
    StringEncoding.UTF8: _load_utf8,
    StringEncoding.UTF16: _load_utf16,
    StringEncoding.LATIN1_UTF16: _load_latin1_utf16,
}
_STORERS: dict[StringEncoding, StoreString] = {
    StringEncoding.UTF8: _store_utf8,
    StringEncoding.UTF16: _store_utf16,
    StringEncoding.LATIN1_UTF16: _store_latin1_utf16,
}
