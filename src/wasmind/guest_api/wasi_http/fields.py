"""`wasi:http` fields: headers and trailers, with the rules of wasi:http/types."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from wasmind.component.abi.values import Err
from wasmind.errors import LimitExceeded

FORBIDDEN = frozenset(
    (
        "connection",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
    )
)
"""Names that belong to the connection, not to a message; wasmtime's list."""
MAX_SIZE = 128 << 10
"""Bytes of one `fields`, each entry counting 32 more."""

HeaderError: TypeAlias = Err[str]

INVALID: HeaderError = Err("invalid-syntax")
DENIED: HeaderError = Err("forbidden")
IMMUTABLE: HeaderError = Err("immutable")

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z", re.ASCII)
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*\Z")
_COST = 32


class Fields:
    """Names and values in their order. Names keep their casing and are compared without it."""

    __slots__ = ("_entries", "_size", "mutable")

    def __init__(self, entries: Iterable[tuple[str, bytes]] = (), *, mutable: bool = True) -> None:
        """Take entries that are known to be good."""
        self._entries = list(entries)
        self._size = 0
        self.mutable = mutable

    @classmethod
    def received(cls, headers: Iterable[tuple[bytes, bytes]]) -> Fields:
        """The headers of a message that came in, names in lower case; the connection's own are left out."""
        decoded = [(name.decode("latin-1"), value) for name, value in headers]
        return cls([entry for entry in decoded if entry[0] not in FORBIDDEN], mutable=False)

    @classmethod
    def from_list(cls, entries: Sequence[tuple[str, bytes]]) -> Fields | HeaderError:
        """Fields of a guest's own entries. Raises LimitExceeded."""
        made = cls()
        for name, value in entries:
            wrong = made.append(name, value)
            if wrong is not None:
                return wrong
        return made

    def get(self, name: str) -> list[bytes]:
        """All values of a name."""
        wanted = name.lower()
        return [value for each, value in self._entries if each.lower() == wanted]

    def has(self, name: str) -> bool:
        """Whether there is an entry of this name."""
        wanted = name.lower()
        return any(each.lower() == wanted for each, _ in self._entries)

    def set(self, name: str, values: Sequence[bytes]) -> HeaderError | None:
        """Put these values in place of all values of a name. Raises LimitExceeded."""
        wrong = self._refused(name, values)
        if wrong is None:
            self._remove(name)
            for value in values:
                self._add(name, value)
        return wrong

    def append(self, name: str, value: bytes) -> HeaderError | None:
        """Add an entry. Raises LimitExceeded."""
        wrong = self._refused(name, (value,))
        if wrong is None:
            self._add(name, value)
        return wrong

    def delete(self, name: str) -> HeaderError | None:
        """Remove all entries of a name."""
        wrong = self._refused(name, ())
        if wrong is None:
            self._remove(name)
        return wrong

    def entries(self) -> list[tuple[str, bytes]]:
        """All of them."""
        return list(self._entries)

    def clone(self) -> Fields:
        """A copy that may be changed."""
        copy = Fields(self._entries)
        copy._size = sum(len(name) + len(value) + _COST for name, value in self._entries)
        return copy

    def frozen(self) -> Fields:
        """The same entries; they may not be changed any more, here or there."""
        self.mutable = False
        return self

    def wire(self) -> list[tuple[bytes, bytes]]:
        """The entries as they are sent, names in lower case."""
        return [(name.lower().encode(), value.strip(b" \t")) for name, value in self._entries]

    def _refused(self, name: str, values: Sequence[bytes]) -> HeaderError | None:
        if not self.mutable:
            return IMMUTABLE
        if not _NAME.match(name) or not all(_VALUE.match(value) for value in values):
            return INVALID
        return DENIED if name.lower() in FORBIDDEN else None

    def _add(self, name: str, value: bytes) -> None:
        self._size += len(name) + len(value) + _COST
        if self._size > MAX_SIZE:
            raise LimitExceeded(f"header fields of more than {MAX_SIZE} bytes")
        self._entries.append((name, value))

    def _remove(self, name: str) -> None:
        wanted = name.lower()
        kept = [entry for entry in self._entries if entry[0].lower() != wanted]
        if len(kept) != len(self._entries):
            self._entries = kept
            self._size = sum(len(each) + len(value) + _COST for each, value in kept)
