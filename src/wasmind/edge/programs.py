"""Compiled programs in this worker, and how a request is run by each kind of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from wasmind.edge.request import cgi_request
from wasmind.errors import ProgramError
from wasmind.guest_api.cgi import Environment, Exchange
from wasmind.guest_api.command import INTERFACES
from wasmind.guest_api.host import CommandHost, Note
from wasmind.sandbox import Guest, Program, Spare
from wasmind.sandbox.artifact import ArtifactCache

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wasmind.component.component import Component
    from wasmind.config import Limits
    from wasmind.edge.journal import Journal
    from wasmind.guest_api.kind import Kind
    from wasmind.guest_api.wasi.state import Wasi
    from wasmind.guest_api.wasi_http import Client
    from wasmind.httpd.head import Head
    from wasmind.httpd.request import HttpRequest
    from wasmind.nn.session import Session
    from wasmind.node.messages import FunctionEntry
    from wasmind.sandbox import Engine


class Served(Protocol):
    """One request on its way through a guest."""

    def run(self, guest: Guest[Any]) -> Awaitable[None]:
        """Run the guest to its end and send all of its response."""


class LoadedProgram:
    """A compiled program in this process. Functions share it; the last one that lets go frees it."""

    __slots__ = ("component", "program", "users")

    def __init__(self, program: Program, component: Component | None = None) -> None:
        self.program = program
        self.component = component
        self.users = 0

    @classmethod
    def load(cls, engine: Engine, path: Path, kind: Kind) -> LoadedProgram:
        """Map what was compiled; nothing is compiled here. Raises ProgramError."""
        if kind != "cgi":
            return cls._component(engine, path)
        artifact = ArtifactCache(path.parent).find(path.name.rpartition("-")[0])
        if artifact is None or artifact.path != path:
            raise _damaged(path)
        return cls(Program.load(engine, artifact, INTERFACES))

    @classmethod
    def _component(cls, engine: Engine, path: Path) -> LoadedProgram:
        """What components need is imported where there are some."""
        from wasmind.component.build import load_built
        from wasmind.component.component import Component
        from wasmind.guest_api.wasi_http import WORLD

        built = load_built(path)
        if built is None:
            raise _damaged(path)
        component = Component.load(engine, built, WORLD)
        return cls(component.program, component)

    def release(self) -> None:
        """One user less."""
        self.users -= 1
        if self.users == 0:
            self.program.close()


class Starter(Protocol):
    """How a function's requests begin."""

    spare: Spare
    """The sandbox that is ready for the next one."""

    def begin(
        self, head: Head, script_name: str, request: HttpRequest, session: Session, journal: Journal
    ) -> tuple[Served, Guest[Any]]:
        """A fresh sandbox for one request, and the exchange to run in it."""


def starter(entry: FunctionEntry, loaded: LoadedProgram) -> tuple[Starter, Client | None]:
    """How a function's requests begin, and its connections to its backends, if it may have any.

    Raises ProgramError, ConfigError.
    """
    if loaded.component is None:
        return CgiProgram.of_module(entry, loaded.program), None
    from wasmind.guest_api.wasi_http import Client

    client = Client(entry.backends)
    if entry.kind == "wasi-http":
        return HttpProgram(entry, loaded.component, client), client
    return CgiProgram.of_component(entry, loaded.component, client), client


class CgiProgram:
    """A function that is a command, a module or a component: it speaks CGI."""

    __slots__ = ("_environment", "_make_host", "_open", "_run", "spare")

    def __init__(
        self,
        entry: FunctionEntry,
        spare: Spare,
        make_host: Callable[[Wasi, Session, Note], CommandHost] = CommandHost,
        run: Callable[[Guest[Any]], Awaitable[None]] = Guest.run,
        open_: Callable[[Guest[Any]], Guest[Any]] | None = None,
    ) -> None:
        """`make_host`, `run` and `open_` are other than a module's for a component."""
        self._environment = Environment(entry.env, entry.args)
        self._make_host = make_host
        self._run = run
        self._open = open_
        self.spare = spare

    @classmethod
    def of_module(cls, entry: FunctionEntry, program: Program) -> CgiProgram:
        """For a WASI command that is a core module."""
        return cls(entry, Spare(program.engine, lambda host: Guest(program, entry.limits, host)))

    @classmethod
    def of_component(cls, entry: FunctionEntry, component: Component, client: Client) -> CgiProgram:
        """For a component that exports `wasi:cli/run`."""
        from wasmind.guest_api.wasi.p2.command import run_command
        from wasmind.guest_api.wasi_http.client import Outgoing
        from wasmind.guest_api.wasi_http.host import HttpHost

        def make_host(wasi: Wasi, nn: Session, note: Note) -> CommandHost:
            return HttpHost(wasi, nn, note, Outgoing(client, entry.limits.backend_requests))

        spare = _spare(component, entry.limits)
        return cls(entry, spare, make_host, partial(run_command, component), component.open)

    def begin(
        self, head: Head, script_name: str, request: HttpRequest, session: Session, journal: Journal
    ) -> tuple[Served, Guest[Any]]:
        """A fresh sandbox for one request, and the exchange to run in it."""
        exchange = Exchange(
            self._environment,
            cgi_request(head, script_name, request.client, request.server),
            request.body.receive if head.length or head.chunked else None,
            request.response,
            session,
            journal.write,
            journal.note,
            self._make_host,
            self._run,
        )
        guest = self.spare.take(exchange.host)
        return exchange, guest if self._open is None else self._open(guest)


class HttpProgram:
    """A function that is a component and exports `wasi:http/incoming-handler`."""

    __slots__ = ("_backend_requests", "_client", "_component", "_exchange", "_service", "spare")

    def __init__(self, entry: FunctionEntry, component: Component, client: Client) -> None:
        from wasmind.guest_api.wasi_http import Exchange, Service

        self._component = component
        self._exchange = Exchange
        self._service = Service(component, entry.env)
        self._client = client
        self._backend_requests = entry.limits.backend_requests
        self.spare = _spare(component, entry.limits)

    def begin(
        self, head: Head, script_name: str, request: HttpRequest, session: Session, journal: Journal
    ) -> tuple[Served, Guest[Any]]:
        """A fresh sandbox for one request, and the exchange to run in it."""
        exchange = self._exchange(
            self._service,
            cgi_request(head, script_name, request.client, request.server),
            request.body.receive if head.length or head.chunked else None,
            request.response,
            session,
            journal.write,
            journal.note,
            self._client,
            self._backend_requests,
            request.release,
            lambda: request.body.trailers,
        )
        return exchange, self._component.open(self.spare.take(exchange.host))


def _spare(component: Component, limits: Limits) -> Spare:
    return Spare(component.program.engine, lambda host: component.bare(limits, host))


def _damaged(path: Path) -> ProgramError:
    return ProgramError(f"the artifact {path.name} is missing or damaged", remedy="compile the program again")
