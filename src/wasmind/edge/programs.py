"""Compiled programs in this worker, and how a request is run by each kind of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from wasmind.edge.request import cgi_request
from wasmind.errors import ProgramError
from wasmind.guest_api.cgi import Environment, Exchange
from wasmind.guest_api.command import INTERFACES
from wasmind.sandbox import Guest, Program
from wasmind.sandbox.artifact import ArtifactCache

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from wasmind.component.component import Component
    from wasmind.edge.journal import Journal
    from wasmind.guest_api.kind import Kind
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


class Begin(Protocol):
    """Makes a fresh sandbox for one request, and the exchange to run in it."""

    def __call__(
        self, head: Head, script_name: str, request: HttpRequest, session: Session, journal: Journal
    ) -> tuple[Served, Guest[Any]]:
        """The exchange and its guest."""


def starter(entry: FunctionEntry, loaded: LoadedProgram) -> tuple[Begin, Client | None]:
    """How a function's requests begin, and its connections to its backends, if it may have any.

    Raises ProgramError, ConfigError.
    """
    if loaded.component is None:
        return CgiProgram(entry, loaded.program).begin, None
    from wasmind.guest_api.wasi_http import Client

    client = Client(entry.backends)
    if entry.kind == "wasi-http":
        return HttpProgram(entry, loaded.component, client).begin, client
    return CommandComponent(entry, loaded.component, client).begin, client


class CgiProgram:
    """A function that is a WASI command: it speaks CGI."""

    __slots__ = ("_environment", "_limits", "_program")

    def __init__(self, entry: FunctionEntry, program: Program) -> None:
        self._environment = Environment(entry.env, entry.args)
        self._limits = entry.limits
        self._program = program

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
        )
        return exchange, Guest(self._program, self._limits, exchange.host)


class HttpProgram:
    """A function that is a component and exports `wasi:http/incoming-handler`."""

    __slots__ = ("_client", "_component", "_exchange", "_limits", "_service")

    def __init__(self, entry: FunctionEntry, component: Component, client: Client) -> None:
        from wasmind.guest_api.wasi_http import Exchange, Service

        self._component = component
        self._exchange = Exchange
        self._service = Service(component, entry.env)
        self._client = client
        self._limits = entry.limits

    def begin(
        self, head: Head, script_name: str, request: HttpRequest, session: Session, journal: Journal
    ) -> tuple[Served, Guest[Any]]:
        """A fresh sandbox for one request, and the exchange to run in it."""
        limits = self._limits
        exchange = self._exchange(
            self._service,
            cgi_request(head, script_name, request.client, request.server),
            request.body.receive if head.length or head.chunked else None,
            request.response,
            session,
            journal.write,
            journal.note,
            self._client,
            limits.backend_requests,
            request.release,
            lambda: request.body.trailers,
        )
        return exchange, self._component.guest(limits, exchange.host)


class CommandComponent:
    """A function that is a component and exports `wasi:cli/run`: it speaks CGI."""

    __slots__ = ("_client", "_component", "_environment", "_limits", "_make_host")

    def __init__(self, entry: FunctionEntry, component: Component, client: Client) -> None:
        from wasmind.guest_api.wasi_http.client import Outgoing
        from wasmind.guest_api.wasi_http.host import HttpHost

        self._environment = Environment(entry.env, entry.args)
        self._component = component
        self._limits = limits = entry.limits
        self._make_host = lambda wasi, nn, note: HttpHost(
            wasi, nn, note, Outgoing(client, limits.backend_requests)
        )

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
        return exchange, self._component.guest(self._limits, exchange.host)

    async def _run(self, guest: Guest[Any]) -> None:
        from wasmind.guest_api.wasi.p2.command import run_command

        await run_command(self._component, guest)


def _damaged(path: Path) -> ProgramError:
    return ProgramError(f"the artifact {path.name} is missing or damaged", remedy="compile the program again")
