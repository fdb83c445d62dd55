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

    def __init__(self) -> None:
        self._entries: list[tuple[str, str, bytes]] = []
        """The name in lower case, the name, the value."""
        self._size = 0
        self.mutable = True

    @classmethod
    def received(cls, headers: Iterable[tuple[bytes, bytes]]) -> Fields:
        """The headers of a message that came in, names in lower case; the connection's own are left out."""
        made = cls()
        decoded = [(name.decode("latin-1"), value) for name, value in headers]
        made._entries = [(name, name, value) for name, value in decoded if name not in FORBIDDEN]
        made.mutable = False
        return made

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
        return [value for lower, _, value in self._entries if lower == wanted]

    def has(self, name: str) -> bool:
        """Whether there is an entry of this name."""
        wanted = name.lower()
        return any(lower == wanted for lower, _, _ in self._entries)

    def set(self, name: str, values: Sequence[bytes]) -> HeaderError | None:
        """Put these values in place of all values of a name. Raises LimitExceeded."""
        lower = self._checked(name)
        if isinstance(lower, Err):
            return lower
        if not all(map(_VALUE.match, values)):
            return INVALID
        self._remove(lower)
        for value in values:
            self._add(lower, name, value)
        return None

    def append(self, name: str, value: bytes) -> HeaderError | None:
        """Add an entry. Raises LimitExceeded."""
        lower = self._checked(name)
        if isinstance(lower, Err):
            return lower
        if not _VALUE.match(value):
            return INVALID
        self._add(lower, name, value)
        return None

    def delete(self, name: str) -> HeaderError | None:
        """Remove all entries of a name."""
        lower = self._checked(name)
        if isinstance(lower, Err):
            return lower
        self._remove(lower)
        return None

    def entries(self) -> list[tuple[str, bytes]]:
        """All of them."""
        return [(name, value) for _, name, value in self._entries]

    def clone(self) -> Fields:
        """A copy that may be changed."""
        copy = Fields()
        copy._entries = list(self._entries)
        copy._count()
        return copy

    def frozen(self) -> Fields:
        """The same entries; they may not be changed any more, here or there."""
        self.mutable = False
        return self

    def wire(self) -> list[tuple[bytes, bytes]]:
        """The entries as they are sent, names in lower case."""
        return [(lower.encode(), value.strip(b" \t")) for lower, _, value in self._entries]

    def _checked(self, name: str) -> str | HeaderError:
        """The name in lower case, if the fields may have an entry of it and may be changed."""
        if not self.mutable:
            return IMMUTABLE
        if not _NAME.match(name):
            return INVALID
        lower = name.lower()
        return DENIED if lower in FORBIDDEN else lower

    def _add(self, lower: str, name: str, value: bytes) -> None:
        self._size += len(name) + len(value) + _COST
        if self._size > MAX_SIZE:
            raise LimitExceeded(f"header fields of more than {MAX_SIZE} bytes")
        self._entries.append((lower, name, value))

    def _remove(self, lower: str) -> None:
        self._entries = [entry for entry in self._entries if entry[0] != lower]
        self._count()

    def _count(self) -> None:
        self._size = sum(len(name) + len(value) + _COST for _, name, value in self._entries)
