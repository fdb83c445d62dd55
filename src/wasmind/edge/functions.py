"""Functions as this worker serves them: loaded, limited, counted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from wasmind.edge.admission import Slots
from wasmind.edge.request import cgi_request
from wasmind.errors import MethodNotAllowed, ProgramError
from wasmind.guest_api.cgi import Environment, Exchange
from wasmind.guest_api.command import INTERFACES
from wasmind.sandbox import Guest, Program
from wasmind.sandbox.artifact import ArtifactCache
from wasmind.telemetry.function_log import LogBudget

if TYPE_CHECKING:
    from wasmind.edge.journal import Journal
    from wasmind.httpd.head import Head
    from wasmind.httpd.request import HttpRequest
    from wasmind.models.node import FunctionModels
    from wasmind.nn.session import Session
    from wasmind.node.messages import FunctionEntry
    from wasmind.sandbox import Engine
    from wasmind.telemetry.figures import EdgeFigures, FunctionMeter


class LoadedProgram:
    """A compiled program in this process. Functions share it; the last one that lets go frees it."""

    __slots__ = ("program", "users")

    def __init__(self, program: Program) -> None:
        self.program = program
        self.users = 0

    @classmethod
    def load(cls, engine: Engine, path: Path) -> LoadedProgram:
        """Map the artifact at `path`; nothing is compiled. Raises ProgramError."""
        artifact = ArtifactCache(path.parent).find(path.name.rpartition("-")[0])
        if artifact is None or artifact.path != path:
            raise ProgramError(
                f"the artifact {path.name} is missing or damaged", remedy="compile the program again"
            )
        return cls(Program.load(engine, artifact, INTERFACES))

    def release(self) -> None:
        """One user less."""
        self.users -= 1
        if self.users == 0:
            self.program.close()


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
        "entry",
        "environment",
        "generation",
        "limits",
        "loaded",
        "methods",
        "models",
        "name",
        "program",
        "retiring",
        "running",
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
        self.environment = Environment(entry.env, entry.args)
        self.methods = None if entry.methods is None else frozenset(entry.methods)
        self.running = 0
        """Requests of this very version."""
        self.retiring = False
        """Whether it is of an older snapshot, and freed with its last request."""
        self.generation = 0
        """The newest snapshot that has it."""

    def begin(
        self, head: Head, script_name: str, request: HttpRequest, session: Session, journal: Journal
    ) -> tuple[Exchange, Guest[Any]]:
        """A fresh sandbox for one request, and the exchange to run in it."""
        exchange = Exchange(
            self.environment,
            cgi_request(head, script_name, request.client, request.server),
            request.body.receive if head.length or head.chunked else None,
            request.response,
            session,
            journal.write,
            journal.note,
        )
        return exchange, Guest(self.program, self.limits, exchange.host)

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
