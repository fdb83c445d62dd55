"""Resources and the handles a component instance holds (CanonicalABI.md, "Resource State")."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from wasmind.errors import GuestTrap, LimitExceeded

MAX_HANDLES = 100_000
"""Handles one component instance may hold at once: far more than programs use, and bearable for a node."""


@dataclass(slots=True, eq=False)
class Resource:
    """A resource type at run time, known by its identity.

    `drop` is called with (guest, representation) when the last handle of a host's resource is dropped.
    A guest's own resource has `owner`, the index of the component instance that implements it, and maybe
    `destructor`, the core export to call.
    """

    name: str
    drop: Callable[[Any, Any], None] | None = None
    owner: int | None = None
    destructor: str | None = None


class Scope(msgspec.Struct, eq=False, gc=False):
    """A call into a component instance, and the borrowed handles it was given and has yet to drop."""

    borrows: int = 0


class Handle(msgspec.Struct, eq=False):
    """An entry of a table. `scope` is None for a handle that owns its resource."""

    resource: Resource
    representation: Any
    scope: Scope | None = None
    lends: int = 0


def _none_at_0() -> list[Handle | None]:
    return [None]


class HandleTable(msgspec.Struct):
    """One component instance's handles, by index; index 0 is never used, freed indices are used again."""

    entries: list[Handle | None] = msgspec.field(default_factory=_none_at_0)
    free: list[int] = []

    def add(self, handle: Handle) -> int:
        """Give the handle an index. Raises LimitExceeded."""
        if self.free:
            index = self.free.pop()
            self.entries[index] = handle
            return index
        index = len(self.entries)
        if index > MAX_HANDLES:
            raise LimitExceeded(
                f"the function holds {MAX_HANDLES} handles", remedy="drop resources that are no longer used"
            )
        self.entries.append(handle)
        return index

    def get(self, index: int, resource: Resource) -> Handle:
        """The handle at an index. Raises GuestTrap if there is none, or it is of another type."""
        handle = self.entries[index] if index < len(self.entries) else None
        if handle is None:
            raise GuestTrap(f"there is no handle {index}", cause=f"a {resource.name} was expected")
        if handle.resource is not resource:
            raise GuestTrap(f"handle {index} is a {handle.resource.name}, not a {resource.name}")
        return handle

    def take(self, index: int, resource: Resource) -> Handle:
        """Remove the handle at an index. Raises GuestTrap as `get` does, and if the handle is lent."""
        entries = self.entries
        handle = entries[index] if index < len(entries) else None
        if handle is None or handle.resource is not resource:
            handle = self.get(index, resource)  # says what is wrong
        if handle.lends:
            raise GuestTrap(f"handle {index}, a {resource.name}, is lent to a call that has not returned")
        entries[index] = None
        self.free.append(index)
        return handle

    def take_own(self, index: int, resource: Resource) -> Any:
        """Remove an owning handle and give its representation. Raises GuestTrap."""
        handle = self.take(index, resource)
        if handle.scope is not None:
            raise GuestTrap(f"handle {index}, a {resource.name}, is borrowed and cannot be given away")
        return handle.representation
