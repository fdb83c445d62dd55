"""The engine: one per process. It holds Wasmtime's engine, the pool, the ticks and the turns of the
guests."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from wasmind.errors import NodeError, Overloaded
from wasmind.sandbox import ffi, settings
from wasmind.sandbox.binding import current
from wasmind.sandbox.deadline import Deadlines
from wasmind.sandbox.meter import Meter
from wasmind.sandbox.scheduler import Scheduler
from wasmind.sandbox.scratch import Scratch
from wasmind.sandbox.ticker import Ticker
from wasmind.sandbox.tier import Tier, tiers

if TYPE_CHECKING:
    from types import TracebackType

    from wasmind.sandbox.guest import Guest
    from wasmind.sandbox.program import Program

_SPARE_SCRATCHES = 256
_ENDED = b"the guest's budget is spent"


class Engine:
    """Runs guests; one per process, used by one thread.

    `tick_ms` is how long a guest may hold the event loop before others get their turn, once it was found
    running after four times that; `stack` the guest's stack in bytes. `pooling` says whether instances come
    from a pool, `instances` how many it holds; `notes` explains, in words for the operator, whatever this
    machine does not allow.
    """

    def __init__(
        self, tick_ms: float = 1.0, *, stack: int = 1 << 20, instances: int = settings.MOST_INSTANCES
    ) -> None:
        self.room = settings.room(instances)
        self.stack = stack
        self.tick_ns = int(tick_ms * 1e6)
        self.tiers = tiers(self.room, stack)
        self.closed = False
        self.ticker = Ticker(tick_ms / 1e3, self._tick)
        self.scheduler = Scheduler()
        self.deadlines = Deadlines()
        self.meter = Meter()
        self.spares = 0
        """How many of the guests that exist wait for a run to take them."""
        self.orphans: list[Guest[Any]] = []
        self._on_epoch = ffi.EpochCallback(self._epoch)
        self.on_epoch: int = ctypes.cast(self._on_epoch, ctypes.c_void_p).value or 0
        self._scratches: list[Scratch] = []

    @property
    def live(self) -> int:
        """How many guests exist."""
        return sum(tier.live for tier in self.tiers)

    @property
    def crowded(self) -> bool:
        """Whether the pool is half full: then nothing is made that nobody has asked for."""
        warm = self.tiers[0]
        return warm.live * 2 > warm.capacity > 0

    @property
    def pooling(self) -> bool:
        """Whether instances come from a pool."""
        return self.room.instances > 0

    @property
    def instances(self) -> int:
        """How many guests may exist at once; 0 when there is no pool and memory alone limits them."""
        return self.room.instances

    @property
    def notes(self) -> list[str]:
        """What this machine does not allow, and what would."""
        return list(self.room.notes)

    def close(self) -> None:
        """Stop ticking and free the engine. Every guest is closed first. Raises NodeError otherwise."""
        self._close_orphans()
        if self.live:
            raise NodeError("the engine is still running guests", remedy="close them first")
        self.closed = True
        self.ticker.close()
        for tier in self.tiers:
            tier.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def admit(self, program: Program) -> Tier:
        """Count one more guest of a program in the tier that has room for it; `dismiss` takes it out again.

        A program gets a warm slot while it holds fewer of them than are free, so that thousands of guests
        that wait leave half of them to others. Raises Overloaded.
        """
        if self.orphans:
            self._close_orphans()
        warm = self.tiers[0]
        if program.warm < warm.capacity - warm.live or not warm.capacity:
            warm.live += 1
            program.warm += 1
            return warm
        for tier in reversed(self.tiers):
            if tier.live < tier.capacity:
                tier.live += 1
                program.warm += tier is warm
                return tier
        raise Overloaded(
            "too many functions are running in this process",
            cause=f"it has room for {self.instances} at once",
            remedy="; ".join(self.notes) or "run more workers",
        )

    def dismiss(self, program: Program, tier: Tier) -> None:
        """A guest that was admitted has ended."""
        tier.live -= 1
        program.warm -= tier is self.tiers[0]

    def _close_orphans(self) -> None:
        """Close guests that were forgotten while another guest was running, when that could not be done."""
        while self.orphans:
            self.orphans.pop().close()

    def borrow_scratch(self) -> Scratch:
        """Return memory that C may write to while a guest lives; `return_scratch` takes it back."""
        return self._scratches.pop() if self._scratches else Scratch()

    def return_scratch(self, scratch: Scratch) -> None:
        """Keep it for the next guest. No outcome is left there."""
        if len(self._scratches) < _SPARE_SCRATCHES:
            self._scratches.append(scratch)

    def _tick(self) -> None:
        for tier in self.tiers:
            ffi.increment_epoch(tier.pointer)

    def _epoch(self, _context: int, _data: int, delta: int, kind: int) -> int:
        """Decide what happens to the guest that was running when the epoch was raised; runs on its fiber."""
        guest = current.guest
        ctypes.c_uint64.from_address(delta).value = 1
        answer = ctypes.c_uint8.from_address(kind)
        answer.value = ffi.CONTINUE
        error = 0
        try:
            if guest is not None:
                held = guest.held_ns()
                long = 2 * held >= self.tick_ns
                if long:
                    self.ticker.again()
                if guest.over_budget(held):
                    error = ffi.error_new(_ENDED)
                elif long and not guest.nested:
                    answer.value = ffi.YIELD
        except BaseException as failure:  # noqa: BLE001 - none may leave a C callback; the guest keeps and raises it
            if guest is not None:
                guest.abandon(failure)
            error = ffi.error_new(_ENDED)
        return error
