"""Where lifting and lowering happen: a component instance of one run, with one set of options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import msgspec

from wasmind.component.abi.handles import Handle, HandleTable, Scope
from wasmind.errors import GuestTrap, LimitExceeded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmind.component.plan import Options


BUDGET = 1 << 28
"""What all values of one call may cost the host together, in bytes copied: about a tenth of a second."""
NUMBER_COST, ELEMENT_COST = 64, 2048
"""What an element of a list costs: a number, anything else."""


class Memory(Protocol):
    """A guest's linear memory, as the sandbox gives it."""

    @property
    def moves(self) -> bool:
        """Whether it may lie elsewhere after the guest has run."""

    @property
    def buffer(self) -> memoryview:
        """All of it, writable, as large as it was when last asked for."""

    def refresh(self) -> None:
        """Ask how large it is now."""


class Caller(Protocol):
    """What of a guest the canonical ABI uses."""

    host: Any

    def memory_named(self, export: str) -> Memory:
        """One of the program's memories."""

    def call_nested(self, export: str, *args: int) -> int:
        """Call back into the guest, which does not suspend meanwhile."""


class Call(msgspec.Struct, eq=False):
    """A call into a component instance that is under way."""

    scope: Scope
    lent: list[Handle]


class Instance(msgspec.Struct, eq=False):
    """One component instance in one run."""

    handles: HandleTable = msgspec.field(default_factory=HandleTable)
    may_leave: bool = True
    """False while its realloc or post-return runs, which may call nothing outside."""
    may_enter: bool = True
    """False while another component's call into it is under way: then only its own children may call it."""
    calls: list[Call] = []
    """The calls of other components into it that are under way, innermost last."""


class Context:
    """One component instance with one set of options: what every lift and lower works on.

    `buffer` is its memory. Pointers are checked against it in Python integers before they are used; one past
    its end asks the sandbox first whether the memory has grown.
    """

    __slots__ = (
        "_memory",
        "_moves",
        "budget",
        "buffer",
        "entries",
        "exchange",
        "guest",
        "handles",
        "instance",
        "instances",
        "lenders",
        "options",
        "scope",
        "wary",
    )

    def __init__(self, guest: Caller, instances: Sequence[Instance], options: Options) -> None:
        self.guest = guest
        self.instances = instances
        self.instance = instance = instances[options.instance]
        self.options = options
        self.handles = instance.handles
        self.entries = instance.handles.entries
        self.buffer = _NOTHING
        self.budget = BUDGET
        """What the values of this call may still cost."""
        self.wary = True
        """Whether the memory must be looked for before each call: it may move, or was never seen."""
        self._moves = False
        self.lenders: list[Handle] = []
        self.scope = Scope()
        self.exchange: Any = None
        """The arguments of the host's call on their way in, its result on the way out."""
        self._memory: Memory | None = None

    def renew(self) -> None:
        """Make ready for the values of another call."""
        self.budget = BUDGET
        if self.wary:
            self.refresh()

    def prepare(self) -> None:
        """Make ready for a call that the guest makes. Raises GuestTrap if it may not make one."""
        if not self.instance.may_leave:
            raise GuestTrap(
                "the function's realloc or post-return called an import", cause="they may only compute"
            )
        self.refresh()

    def spend(self, cost: int) -> None:
        """Count what lifting a value costs the host. Raises LimitExceeded."""
        self.budget -= cost
        if self.budget < 0:
            raise LimitExceeded(
                "the function passes too much in one call",
                cause="lists may name the same memory many times over, and the host would copy it each time",
                remedy="pass less at a time",
            )

    def refresh(self) -> None:
        """See the memory where it lies, and as large as it is now.

        The first look is at what the sandbox knows already: whatever lies beyond makes `reach` look again.
        """
        memory = self._memory
        if memory is None:
            if self.options.memory is None:
                self.wary = False
                return
            memory = self._memory = self.guest.memory_named(self.options.memory)
            self._moves = memory.moves
            if self._moves:
                memory.refresh()
        else:
            memory.refresh()
        self.buffer = memory.buffer
        self.wary = self._moves

    def reach(self, end: int) -> None:
        """Make sure that the memory is at least `end` bytes long. Raises GuestTrap."""
        for _ in range(2):  # the first look may be at what was known before
            if end <= len(self.buffer):
                return
            self.refresh()
        if end > len(self.buffer):
            size = len(self.buffer)
            raise GuestTrap(f"a pointer ends at {end}, outside the memory", cause=f"it has {size} bytes")

    def check(self, pointer: int, size: int, align: int) -> None:
        """Check a pointer that the guest gave for `size` bytes. Raises GuestTrap."""
        if pointer & (align - 1):
            misaligned(pointer, align)
        if pointer + size > len(self.buffer):
            self.reach(pointer + size)

    def allocate(self, align: int, size: int) -> int:
        """Have the guest allocate. Raises GuestTrap if what it answers cannot be used."""
        return self.reallocate(0, 0, align, size)

    def reallocate(self, pointer: int, old_size: int, align: int, size: int) -> int:
        """Have the guest move an allocation. Raises GuestTrap if what it answers cannot be used."""
        if self.options.realloc is None:
            raise GuestTrap("a value must be allocated, but the function was lowered without a realloc")
        instance = self.instance
        instance.may_leave = False
        pointer = self.guest.call_nested(self.options.realloc, pointer, old_size, align, size)
        instance.may_leave = True
        if self._moves:
            self.refresh()
        self.check(pointer, size, align)
        return pointer

    def lend(self, handle: Handle) -> None:
        """Lend a handle to the call that is being made, until `return_lent`."""
        handle.lends += 1
        self.lenders.append(handle)

    def return_lent(self) -> None:
        """Take back what was lent to the call that has returned."""
        for handle in self.lenders:
            handle.lends -= 1
        self.lenders.clear()


def open_contexts(guest: Caller, instances: int, options: Sequence[Options]) -> list[Context]:
    """The contexts of one run: `instances` component instances, and one context for each set of options."""
    made = [Instance() for _ in range(instances)]
    return [Context(guest, made, each) for each in options]


def misaligned(pointer: int, align: int) -> NoReturn:
    """Raise the GuestTrap for a pointer that is not aligned."""
    raise GuestTrap(f"the pointer {pointer} is not a multiple of {align}")


_NOTHING = memoryview(bytearray())
