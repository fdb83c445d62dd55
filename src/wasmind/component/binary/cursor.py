"""A place in a binary: strict LEB128 numbers, names and vectors, with errors that tell the offset."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from wasmind.errors import NotWasm, ProgramTooLarge

MAX_NAME = 100_000
"""The longest name, in bytes."""
MAX_ITEMS = 1_000_000
"""The most items of one vector."""

Item = TypeVar("Item")


class Cursor:
    """Reads `data` from `at` up to, not including, `end`.

    Every method raises NotWasm when the bytes are wrong.
    """

    __slots__ = ("at", "data", "end")

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self.data = data
        self.at = at
        self.end = len(data) if end is None else end

    def fail(self, cause: str, at: int | None = None) -> NotWasm:
        """The error to raise for what stands here (or at another offset)."""
        return NotWasm(f"the program is malformed at byte {self.at if at is None else at}", cause=cause)

    @property
    def done(self) -> bool:
        """Whether everything is read."""
        return self.at >= self.end

    def finish(self, what: str) -> None:
        """Check that everything is read."""
        if self.at != self.end:
            raise self.fail(f"{self.end - self.at} bytes are left over after {what}")

    def byte(self) -> int:
        """One byte."""
        at = self.at
        if at >= self.end:
            raise self.fail("unexpected end")
        self.at = at + 1
        return self.data[at]

    def peek(self) -> int:
        """The next byte, without passing it."""
        if self.at >= self.end:
            raise self.fail("unexpected end")
        return self.data[self.at]

    def expect(self, value: int, what: str) -> None:
        """One byte that may only have this value."""
        found = self.byte()
        if found != value:
            raise self.fail(f"expected {what} (0x{value:02x}), found 0x{found:02x}", self.at - 1)

    def u32(self) -> int:
        """An unsigned LEB128 number of 32 bits."""
        value = self.byte()
        if value < 0x80:
            return value
        return self._unsigned(32, value)

    def u64(self) -> int:
        """An unsigned LEB128 number of 64 bits."""
        return self._unsigned(64, self.byte())

    def _unsigned(self, bits: int, byte: int) -> int:
        start, value, shift = self.at - 1, byte & 0x7F, 7
        while byte & 0x80:
            byte = self.byte()
            if shift + 7 > bits and byte >> (bits - shift):
                raise self.fail(f"a number of more than {bits} bits", start)
            value |= (byte & 0x7F) << shift
            shift += 7
        return value

    def signed(self, bits: int) -> int:
        """A signed LEB128 number of so many bits."""
        start, value, shift = self.at, 0, 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if shift >= bits:
                used = bits - (shift - 7)
                rest = (byte & 0x7F) >> (used - 1)
                if byte & 0x80 or rest not in (0, (1 << (8 - used)) - 1):
                    raise self.fail(f"a number of more than {bits} bits", start)
            if byte < 0x80:
                return value - (1 << shift) if byte & 0x40 else value

    def take(self, length: int) -> int:
        """Pass `length` bytes; the offset they begin at."""
        start = self.at
        if length > self.end - start:
            raise self.fail(f"{length} bytes are announced, {self.end - start} are left")
        self.at = start + length
        return start

    def bytes(self, length: int) -> bytes:
        """So many bytes."""
        start = self.take(length)
        return self.data[start : self.at]

    def within(self, length: int) -> Cursor:
        """Pass `length` bytes, to be read by a cursor of their own."""
        start = self.take(length)
        return Cursor(self.data, start, self.at)

    def name(self) -> str:
        """A name: UTF-8, its length first."""
        length = self.u32()
        if length > MAX_NAME:
            raise ProgramTooLarge(
                f"a name of {length} bytes at byte {self.at}", cause=f"at most {MAX_NAME} are allowed"
            )
        start = self.take(length)
        try:
            return self.data[start : self.at].decode()
        except UnicodeDecodeError as error:
            raise self.fail("a name that is not UTF-8", start) from error

    def count(self) -> int:
        """The number of items that follow."""
        start = self.at
        count = self.u32()
        if count > MAX_ITEMS:
            raise ProgramTooLarge(f"{count} items at byte {start}", cause=f"at most {MAX_ITEMS} are allowed")
        if count > self.end - self.at:
            raise self.fail(f"{count} items are announced, {self.end - self.at} bytes are left", start)
        return count

    def vector(self, item: Callable[[Cursor], Item]) -> list[Item]:
        """A counted sequence."""
        return [item(self) for _ in range(self.count())]

    def maybe(self, item: Callable[[Cursor], Item]) -> Item | None:
        """An item behind a byte that says whether it is there."""
        flag = self.byte()
        if flag > 1:
            raise self.fail(f"expected 0x00 or 0x01, found 0x{flag:02x}", self.at - 1)
        return item(self) if flag else None
