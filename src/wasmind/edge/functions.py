"""Functions as this worker serves them: loaded, limited, counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmind.edge.admission import Slots
from wasmind.edge.programs import starter
from wasmind.errors import MethodNotAllowed
from wasmind.telemetry.function_log import LogBudget

if TYPE_CHECKING:
    from wasmind.edge.programs import LoadedProgram
    from wasmind.models.node import FunctionModels
    from wasmind.node.messages import FunctionEntry
    from wasmind.telemetry.figures import EdgeFigures, FunctionMeter


class Account:
    """What of a function outlives its versions: how many requests run, its figures, how much it may log."""

    __slots__ = ("budget", "meter", "slots")

    def __init__(self, meter: FunctionMeter, limit: int) -> None:
        self.slots = Slots(limit)
        self.meter = meter
        self.budget = LogBudget()


class Function:
    """One version of a function with one configuration; it never changes, a new one is made instead."""

    __slots__ = (
        "account",
        "begin",
        "client",
        "entry",
        "generation",
        "limits",
        "loaded",
        "methods",
        "models",
        "name",
        "program",
        "retiring",
        "running",
        "spare",
    )

    def __init__(
        self, entry: FunctionEntry, loaded: LoadedProgram, models: FunctionModels, account: Account
    ) -> None:
        loaded.users += 1
        self.entry = entry
        self.name = entry.name
        self.limits = entry.limits
        self.loaded = loaded
        self.program = loaded.program
        self.models = models
        self.account = account
        start, self.client = starter(entry, loaded)
        self.begin, self.spare = start.begin, start.spare
        self.methods = None if entry.methods is None else frozenset(entry.methods)
        self.running = 0
        """Requests of this very version."""
        self.retiring = False
        """Whether it is of an older snapshot, and freed with its last request."""
        self.generation = 0
        """The newest snapshot that has it."""

    def check_method(self, method: str) -> None:
        """Raises MethodNotAllowed."""
        if self.methods is not None and method not in self.methods:
            allowed = ", ".join(sorted(self.methods))
            raise MethodNotAllowed(
                f"the function {self.name!r} does not take {method}",
                cause=f"it takes {allowed or 'none'}",
                remedy="use one of these, or change the function's `methods`",
                allowed=allowed,
            )


class Accounts:
    """The accounts of all functions by tenant and name."""

    def __init__(self, figures: EdgeFigures) -> None:
        self._figures = figures
        self._accounts: dict[tuple[str, str], Account] = {}

    def of(self, entry: FunctionEntry) -> Account:
        """A function's account. Two tenants may have functions of one name."""
        key = (entry.tenant, entry.name)
        found = self._accounts.get(key)
        if found is None:
            name = entry.name if entry.tenant == "default" else f"{entry.tenant}/{entry.name}"
            found = self._accounts[key] = Account(self._figures.function(name), entry.limits.concurrency)
        return found
