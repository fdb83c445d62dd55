"""Why a guest ended, in words: the errors that the sandbox itself raises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmind.errors import CpuBudgetSpent, DeadlinePassed, GuestExit, GuestTrap, LimitExceeded

if TYPE_CHECKING:
    from wasmind.config import Limits
    from wasmind.sandbox.figures import Figures
    from wasmind.sandbox.interface import HostFunction
    from wasmind.sandbox.program import Program


def budget_spent(limits: Limits, figures: Figures, held_ns: int = 0) -> CpuBudgetSpent:
    """The CPU budget is spent; `held_ns` is the part of the running poll."""
    return CpuBudgetSpent(
        f"the function used {(figures.cpu_ns + held_ns) / 1e6:.1f} ms of CPU",
        cause=f"its budget is {limits.cpu_ms:g} ms",
        remedy="do less for one request, or raise `limits.cpu_ms`",
    )


def deadline_passed(limits: Limits) -> DeadlinePassed:
    """The wall deadline has passed."""
    return DeadlinePassed(
        f"the function ran longer than {limits.wall_ms:g} ms",
        cause="it waited for something that did not come in time, or others used the processor",
        remedy="look at what it waits for, or raise `limits.wall_ms`",
    )


def exited(code: int) -> GuestExit:
    """The guest exited with a status other than 0."""
    return GuestExit(f"the function exited with status {code}", remedy="see what it wrote to stderr")


def too_large(program: Program, limits: Limits) -> LimitExceeded:
    """The program needs more from its first moment than its limits allow."""
    if program.memory_least > limits.memory:
        needs, most, name = f"{program.memory_least:,} bytes of memory", f"{limits.memory:,}", "memory"
    else:
        needs, most, name = (
            f"a table of {program.table_least:,} elements",
            f"{limits.table_elements:,}",
            "table_elements",
        )
    return LimitExceeded(
        f"the function begins with {needs}", cause=f"its limit is {most}", remedy=f"raise `limits.{name}`"
    )


def would_wait(host: HostFunction) -> GuestTrap:
    """A host function that would wait was called where nothing can be suspended."""
    return GuestTrap(
        f"{host} would wait",
        cause="it was called by guest code that the host is calling back, which cannot be suspended",
    )


def nested_too_deep(most: int) -> GuestTrap:
    """The guest and its host called each other without end."""
    return GuestTrap(
        "the function and its host call each other without end",
        cause=f"more than {most} calls back into the function are under way",
        remedy="an allocator must not call what allocates",
    )


def host_failed(host: HostFunction, error: BaseException) -> GuestTrap:
    """A host function raised something that is no answer to a guest: the guest ends, the process goes on."""
    failure = GuestTrap(
        f"the host function {host} failed",
        cause=f"{type(error).__name__}: {error}".rstrip(": "),
        remedy="this is a defect of the host, not of the function; the log has its traceback",
    )
    failure.__cause__ = error
    return failure
