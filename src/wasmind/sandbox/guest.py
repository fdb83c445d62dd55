"""One run of a program: a store, an instance and a fiber, with limits, a budget and a deadline."""

from __future__ import annotations

import asyncio
from gc import disable as gc_disable
from gc import enable as gc_enable
from gc import isenabled as gc_enabled
from time import perf_counter_ns, thread_time_ns
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from wasmind.errors import NodeError, WasmindError
from wasmind.sandbox import ffi
from wasmind.sandbox.binding import Wait, current
from wasmind.sandbox.callbacks import MOST_NESTED, Callbacks
from wasmind.sandbox.exit import Exit
from wasmind.sandbox.explain import budget_spent, exited, host_failed, nested_too_deep, too_large, would_wait
from wasmind.sandbox.figures import Figures
from wasmind.sandbox.memory import Memory
from wasmind.sandbox.scratch import (
    ARGUMENTS,
    ERROR,
    FLAG,
    FUNCTION,
    HANDLE,
    INSTANCE,
    MEMORY,
    RESULTS,
    TRAP,
    Scratch,
)
from wasmind.sandbox.suspension import Suspension
from wasmind.sandbox.trap import explain_error, explain_trap, free

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.config import Limits
    from wasmind.sandbox.interface import HostFunction
    from wasmind.sandbox.program import Program
    from wasmind.sandbox.tier import Tier

Host = TypeVar("Host")


class Guest(Generic[Host]):
    """One run of a program. `host` is where interfaces keep their state; `limits` are of `wasmind.config`.

        guest = Guest(program, limits, host)
        try:
            await guest.run("_start")
        finally:
            guest.close()

    It is used by one task. `figures` say what it used; `exit_code` is set once the guest has ended by itself.
    A run that raises leaves the guest closed.
    """

    __slots__ = (
        "_began", "_began_wall", "_budget_ns", "_callbacks", "_clock", "_context", "_engine", "_failure",
        "_future", "_ready", "_scratch", "_store", "_suspension", "_tier", "_waiting", "exit_code", "figures",
        "finisher", "host", "limits", "memory", "nested", "program",
    )  # fmt: skip

    def __init__(self, program: Program, limits: Limits, host: Host) -> None:
        self._began = self._store = self._context = self._future = 0
        self.program = program
        self.limits = limits
        self.host = host
        self.figures = Figures()
        self.memory = Memory()
        self.exit_code: int | None = None
        self.nested = 0
        self.finisher: tuple[Wait, Callable[[], Any]] | None = None
        self._ready = False
        self._engine = program.engine
        self._began_wall = perf_counter_ns()
        self._budget_ns = int(limits.cpu_ms * 1e6)
        self._clock: Callable[[], int] = perf_counter_ns
        self._scratch: Scratch | None = None
        self._failure: BaseException | None = None
        self._waiting: Wait | None = None
        self._suspension: Suspension | None = None
        self._tier: Tier | None = None
        self._callbacks: Callbacks | None = None

    # --- running --------------------------------------------------------------------------------------------

    async def run(self, export: str = "_start") -> None:
        """Instantiate the program and call an export without parameters, after a library's `_initialize`.

        Raises GuestTrap, GuestExit (for a status other than 0), CpuBudgetSpent, DeadlinePassed,
        LimitExceeded, Overloaded, or the WasmindError that a host function raised.
        """
        await self.start()
        if self.program.initializes and export != "_initialize" and self.exit_code is None:
            await self.call("_initialize")
        if self.exit_code is None:
            await self.call(export)
        if self.exit_code is None:
            self.exit_code = 0

    async def start(self) -> None:
        """Instantiate the program; its start function runs, if it has one. Raises as `run` does."""
        if self._ready:
            self._ready = False
            return
        self._instantiate()
        if not self._poll():
            await self._continue()
        self._started()

    def prepare(self) -> bool:
        """Do what `start` does before a host is known: `lend` gives it, then `run` goes on from here.

        False, and the guest can only be closed, if that takes longer than a tick or ends the guest. Raises as
        `run` does, also for a start function that wants something of its host.
        """
        self._instantiate()
        if not self._poll():
            return False
        self._started()
        self._ready = self._scratch is not None
        return self._ready

    def lend(self, host: Host) -> None:
        """Give a prepared guest its host; its wall time counts from here."""
        self.host = host
        self._began_wall = perf_counter_ns()

    def _instantiate(self) -> None:
        scratch, tier = self._open()
        at = scratch.address
        self._future = ffi.instantiate(
            self.program.pointers[tier.index], self._context, at + INSTANCE, at + TRAP, at + ERROR
        )

    def _started(self) -> None:
        """The instance is there: find its memory. Raises what ended the guest instead."""
        self._settle_call()
        scratch = self._scratch
        if scratch is None:
            return
        at = scratch.address
        name, context = self.program.memory_name, self._context
        if name and context and ffi.export_get(context, at + INSTANCE, name, len(name), at + MEMORY):
            moves = self._engine.room.profile.moves
            self.memory.attach(context, at + MEMORY + ffi.EXTERN_OFFSET, moves, self)
            if self.program.pages.ready:
                began = perf_counter_ns()
                self.program.pages.populate(self.memory.address)
                self.figures.cpu_ns += perf_counter_ns() - began

    def _open(self) -> tuple[Scratch, Tier]:
        """Make the store, in which instances are made."""
        program, limits, engine = self.program, self.limits, self._engine
        if self._scratch is not None or self.figures.wall_ns:
            raise NodeError("a guest runs once")
        if program.memory_least > limits.memory or program.table_least > limits.table_elements:
            raise too_large(program, limits)
        if self._budget_ns < engine.ticker.look_ns:
            engine.ticker.heed(self._budget_ns)
        self._tier = tier = engine.admit(program)
        self._scratch = scratch = engine.borrow_scratch()
        self._store = store = ffi.store_new(tier.pointer, None, None)
        self._context = context = ffi.store_context(store)
        ffi.store_limiter(store, limits.memory // program.memories, limits.table_elements, -1, -1, -1)
        ffi.set_epoch_deadline(context, 1)
        ffi.store_on_epoch(store, engine.on_epoch, None, None)
        return scratch, tier

    async def call(self, export: str, *values: float) -> tuple[Any, ...]:
        """Call an export of the running instance and return its results; integers are unsigned.

        Raises as `run` does. Nothing is returned when the guest exited instead.
        """
        function = self.program.function(export)
        context, scratch = self._context, self._scratch
        if not context or scratch is None or self._future:
            raise NodeError(
                "the guest cannot be called", cause="it was not started, has ended, or is running"
            )
        taken, given, at, name = function.taken, function.given, scratch.address, function.name
        if values or taken:
            scratch.place(function, function.checked(values))
        if not ffi.export_get(context, at + INSTANCE, name, len(name), at + FUNCTION):
            raise NodeError(f"the instance has no export {export!r}")
        self._future = ffi.call(
            context, at + HANDLE, at + ARGUMENTS, taken, at + RESULTS, given, at + TRAP, at + ERROR
        )
        if not self._poll():
            await self._continue()
        self._settle_call()
        return scratch.results(function) if given and self.exit_code is None else ()

    def _poll(self) -> bool:
        """Run the fiber until it ends, waits or yields; says whether it has ended.

        No garbage is collected meanwhile: the guest would be charged for it.
        """
        if current.guest is not None:
            raise NodeError("a guest cannot be run from inside a host function")
        engine = self._engine
        ticker, meter = engine.ticker, engine.meter
        done: bool = False
        current.guest = self
        collects = gc_enabled()
        if collects:
            gc_disable()
        if (now := perf_counter_ns()) > ticker.due:
            ticker.put_off(now)
            meter.mark()
        ticker.polling = True
        self._began = self._clock()
        try:
            done = ffi.future_poll(self._future)
        finally:
            ticker.polling = False
            held = self._clock() - self._began
            if held > engine.tick_ns and self._clock is perf_counter_ns:
                held = meter.charge(held)
            self.figures.cpu_ns += held
            current.guest = None
            if collects:
                gc_enable()
        return done

    async def _continue(self) -> None:
        """Poll to the end, giving way in between. What ended the guest is raised, or kept for `_settle_call`.

        A guest queues for its turn after a wait too once it has had a slice: nobody gets ahead by waiting
        often, nor by waiting for what is there at once.
        """
        engine, figures = self._engine, self.figures
        suspension = self._suspension
        if suspension is None:
            suspension = self._suspension = Suspension(engine.deadlines, self.limits, self._began_wall)
        try:
            while not (self._failure or self.over_budget(0) or self._late(suspension)):
                suspension.paused = True
                wait = self._waiting
                if wait is not None:
                    self._waiting = None
                    await self._wait(wait, suspension)
                if self._failure is None and (wait is None or suspension.slice_over(engine, figures.cpu_ns)):
                    await engine.scheduler.turn(figures.cpu_ns)
                    suspension.since_ns = perf_counter_ns()
                suspension.paused = False
                if self._late(suspension) or self._failure or self._poll():
                    break
        except BaseException as error:
            suspension.paused = False
            cut_short = isinstance(error, asyncio.CancelledError) and suspension.cancelled_by_deadline()
            late = suspension.late() if cut_short else None
            self.close()
            if late is not None:
                raise late from None
            raise

    def _late(self, suspension: Suspension) -> bool:
        """Whether the deadline has passed; if so, that ends the guest."""
        if suspension.expired:
            self.abandon(suspension.late())
        return suspension.expired

    async def _wait(self, wait: Wait, suspension: Suspension) -> None:
        """Await a host function's answer, and put it where the guest finds it."""
        began = perf_counter_ns()
        try:
            value = await wait.awaitable
            if wait.host.finishes:
                self.finisher = wait, value
            else:
                wait.settle(value)
                self._scratch.view[FLAG] = 1  # type: ignore[union-attr]  # a suspended guest has its memory
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and suspension.cancelled():
                raise
            self.fail(wait.host, error)  # a cancellation here is that of something it awaited
        finally:
            ended = perf_counter_ns()
            self.figures.waited_ns += ended - began
            if ended - began > self._engine.tick_ns:
                suspension.since_ns = ended

    def _settle_call(self) -> None:
        """End a call: free its future, and raise what ended the guest, if anything did."""
        scratch = self._scratch
        if scratch is None:
            return
        trap, error = scratch.take_outcome()
        failure = self._failure
        if not (trap or error or failure):
            ffi.future_delete(self._future)
            self._future = 0
            return
        self._failure = None
        self.close()
        if failure is not None:
            free(trap, error)
            if not isinstance(failure, Exit):
                try:
                    raise failure
                finally:
                    del failure  # it knows this frame
            if self.exit_code:
                raise exited(self.exit_code)
        else:
            peak, most = self.figures.memory_peak, self.limits.memory
            raise explain_trap(trap, peak, most) if trap else explain_error(error)

    def close(self) -> None:
        """Drop the fiber and the store, suspended or not; harmless when done already."""
        if current.guest is not None:
            if current.guest is self:
                raise NodeError("a guest cannot be closed from inside its own host function")
            self._engine.orphans.append(self)  # no fiber is dropped from inside another's host function
            return
        wait, self._waiting = self._waiting, None
        if wait is not None:
            wait.dispose()
        store, self._store = self._store, 0
        if store:
            self._free(store)
        if not self.figures.wall_ns:
            self.figures.wall_ns = perf_counter_ns() - self._began_wall

    def _free(self, store: int) -> None:
        """Free all that the guest had of its store, and give back what it had of the engine."""
        memory, engine = self.memory, self._engine
        scratch, self._scratch = self._scratch, None
        if self._future:
            ffi.future_delete(self._future)
            self._future = 0
            if scratch is not None:
                free(*scratch.take_outcome())
        elif self.program.pages.left and memory.size and not self._ready:
            self.program.pages.learn(memory.address, memory.buffer)
        self.figures.memory_peak = memory.detach()
        if self._callbacks is not None:
            self._callbacks.close()
            self._callbacks = None
        self.finisher = None
        ffi.store_delete(store)
        self._context = 0
        if self._tier is not None:
            engine.dismiss(self.program, self._tier)
        if self._suspension is not None:
            self._suspension.end()
        if scratch is not None:
            engine.return_scratch(scratch)

    def __del__(self) -> None:
        if self._store:
            self.close()

    @property
    def suspended(self) -> bool:
        """Whether the guest is in a call that does not run just now."""
        return self._future != 0 and current.guest is not self

    # --- for host functions ---------------------------------------------------------------------------------

    def exit(self, code: int) -> NoReturn:
        """End the guest with an exit status, from inside a host function."""
        self.exit_code = code
        raise Exit

    def call_nested(self, export: str, *values: float) -> Any:
        """Call an export from inside a plain host function; returns its first result, if it has one.

        Guest code cannot wait in such a call, and does not yield. Raises what ended it, as `run` does.
        """
        if current.guest is not self or self._scratch is None:
            raise NodeError("only a host function that the guest is calling can call it back")
        if self.nested >= MOST_NESTED:
            raise nested_too_deep(MOST_NESTED)
        callbacks = self._callbacks or self._back()
        self.nested += 1
        try:
            result, trap, error = callbacks.call(export, values)
        finally:
            self.nested -= 1
        if not (trap or error):
            return result
        if self._failure is not None:
            free(trap, error)
            raise self._failure
        raise explain_trap(trap, self.memory.size, self.limits.memory) if trap else explain_error(error)

    def memory_named(self, export: str) -> Memory:
        """One of the instance's memories, if it has several. Raises NodeError."""
        return self.memory if export == "memory" else self._back().memory(export)

    def _back(self) -> Callbacks:
        if self._scratch is None:
            raise NodeError("the guest was not started, or has ended")
        if self._callbacks is None:
            self._callbacks = Callbacks(self, self._context, self._scratch.address + INSTANCE)
        return self._callbacks

    def suspend(self, wait: Wait) -> int:
        """Keep what a host function waits for; returns the address of the flag that ends the wait."""
        if self.nested or self._scratch is None:
            wait.dispose()
            raise would_wait(wait.host)
        self.memory.refresh()
        if self._callbacks is not None:
            self._callbacks.refresh()
        self._scratch.view[FLAG] = 0
        self._waiting = wait
        return self._scratch.address + FLAG

    def fail(self, host: HostFunction, error: BaseException) -> None:
        """Keep what ends the guest, explained; errors of our tree, exits and interrupts stay themselves."""
        if isinstance(error, (WasmindError, Exit)) or not isinstance(
            error, (Exception, asyncio.CancelledError)
        ):
            self.abandon(error)
        else:
            self.abandon(host_failed(host, error))

    def abandon(self, failure: BaseException) -> None:
        """Keep what ends the guest; the first failure counts."""
        if self._failure is None:
            self._failure = failure

    def held_ns(self) -> int:
        """How long the running poll has held the event loop, in CPU time.

        The first tick that finds the guest running turns from the meter's wall clock to the CPU clock.
        """
        if self._clock is perf_counter_ns:
            held = self._engine.meter.charge(perf_counter_ns() - self._began)
            self._clock = thread_time_ns
            self._began = thread_time_ns() - held
            return held
        return self._clock() - self._began

    def over_budget(self, held_ns: int) -> bool:
        """Whether the CPU budget is spent; if so, that ends the guest."""
        if self.figures.cpu_ns + held_ns <= self._budget_ns:
            return False
        self.abandon(budget_spent(self.limits, self.figures, held_ns))
        return True
