"""Guests that failed."""

from __future__ import annotations

from wasmind.errors.base import NnCode, WasmindError


class GuestError(WasmindError):
    """The guest ended without an answer."""

    code, title, status, exit_code = "guest-failed", "The function failed", 502, 134


class GuestTrap(GuestError):
    """The guest trapped."""

    code, title = "guest-trap", "The function trapped"


class GuestExit(GuestError):
    """The guest exited with a status other than 0 before it answered."""

    code, title = "guest-exit", "The function exited with an error"


class MalformedResponse(GuestError):
    """What the guest wrote is no response."""

    code, title = "guest-malformed-response", "The function gave a malformed response"


class LimitExceeded(GuestError):
    """The guest went over one of its limits."""

    code, title = "guest-limit", "The function went over a limit"


class CpuBudgetSpent(LimitExceeded):
    """The guest used more CPU than its budget."""

    code, title, status = "guest-cpu-budget", "The function spent its CPU budget", 504


class DeadlinePassed(LimitExceeded):
    """The guest ran longer than its wall deadline."""

    code, title, status, nn_code = "guest-deadline", "The function passed its deadline", 504, NnCode.TIMEOUT


class MemoryFault(GuestError):
    """A pointer or length given by the guest points outside its memory."""

    code, title, nn_code = (
        "guest-memory-fault",
        "A pointer outside the guest's memory",
        NnCode.INVALID_ARGUMENT,
    )


class MissingMemory(MemoryFault):
    """The guest exports no memory, so a pointer from it means nothing."""

    code, title, nn_code = "guest-missing-memory", "The guest has no memory", NnCode.MISSING_MEMORY
