"""One request: checked, routed, admitted, run in a fresh sandbox, answered, counted. This is the hot path."""

from __future__ import annotations

import asyncio
import traceback
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

from wasmind.edge.answer import Answer
from wasmind.edge.body import RequestBody
from wasmind.edge.journal import Journal
from wasmind.edge.request import Head, cgi_request, request_id
from wasmind.edge.runs import Runs
from wasmind.errors import MethodNotAllowed, RouteNotFound, WasmindError
from wasmind.guest_api.cgi import Exchange
from wasmind.nn.session import Session
from wasmind.sandbox import Figures, Guest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wasmind.edge.admission import Admission
    from wasmind.edge.deployment import Deployment
    from wasmind.edge.functions import Function
    from wasmind.telemetry.figures import EdgeFigures, FunctionMeter
    from wasmind.telemetry.logs import Logger

Receive: TypeAlias = "Callable[[], Awaitable[dict[str, Any]]]"
Send: TypeAlias = "Callable[[dict[str, Any]], Awaitable[None]]"

_NO_FIGURES = Figures()


class App:
    """The ASGI callable of an edge worker."""

    def __init__(
        self, deployment: Deployment, admission: Admission, figures: EdgeFigures, logger: Logger
    ) -> None:
        self._deployment = deployment
        self._admission = admission
        self._logger = logger
        self._unrouted = figures.function("")
        self._loop = asyncio.get_running_loop()
        self.runs = Runs()
        self.ended = 0
        """Requests answered so far."""
        self.closing = False
        """Whether each connection ends with its current answer: the worker drains."""

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request. Raises nothing: a failure becomes a response, or cuts one that has begun."""
        began = perf_counter()
        identity = request_id(scope["headers"])
        answer = Answer(send, identity, closing=self.closing)
        meter = self._unrouted
        journal: Journal | None = None
        figures = _NO_FIGURES
        error: WasmindError | None = None
        try:
            head = Head(scope)
            function, script_name = self._route(head)
            meter = function.account.meter
            journal = Journal(self._logger, function.name, identity, function.account.budget)
            function.check_method(head.method)
            body = RequestBody(receive, head, function.limits, self._loop)
            self._admission.enter(function.account.slots, function.name)
            figures, error = await self._run(function, script_name, head, body, answer, journal)
        except WasmindError as refused:
            error = refused
        if error is not None:
            await self._fail(error, answer, identity, journal)
        if journal is not None:
            journal.close()
        self._count(meter, answer.status or 499, perf_counter() - began, figures, error)
        if self._deployment.dev:
            self._tell(scope, identity, answer.status, perf_counter() - began, figures)

    def _route(self, head: Head) -> tuple[Function, str]:
        match = self._deployment.router.find(head.host, head.path)
        if match is None:
            raise RouteNotFound(
                "no function serves this host and path",
                cause=f"host {head.host.decode()!r}, path {head.path!r}",
                remedy="`wasmind functions ls` shows the routes",
            )
        return match

    async def _run(
        self,
        function: Function,
        script_name: str,
        head: Head,
        body: RequestBody,
        answer: Answer,
        journal: Journal,
    ) -> tuple[Figures, WasmindError | None]:
        """Run a guest that was admitted; what it used, and how it failed."""
        function.running += 1
        run = self.runs.begin(asyncio.current_task(), body)
        guest: Guest[Any] | None = None
        error: WasmindError | None = None
        try:
            body.begin()
            answer.body_of_request = body
            session = Session(function.models, function.limits, function.entry.tenant)
            exchange = Exchange(
                function.environment,
                cgi_request(head, script_name),
                body.receive,
                answer,
                session,
                journal.write,
                journal.note,
            )
            guest = Guest(function.program, function.limits, exchange.host)
            if self._deployment.dev:
                answer.timing = Timing(session)
            await exchange.run(guest)
        except WasmindError as failed:
            error = failed
        except asyncio.CancelledError:
            error = run.reason()
            if error is None:
                raise
        except Exception as failed:  # noqa: BLE001 - a mistake of ours may cost this request, never the worker
            error = WasmindError(f"{type(failed).__name__}: {failed}", cause=traceback.format_exc())
        finally:
            if guest is not None:
                guest.close()
            body.close()
            self.runs.end(run)
            self._admission.leave(function.account.slots)
            function.running -= 1
            self._deployment.left(function)
        return guest.figures if guest is not None else _NO_FIGURES, error

    async def _fail(
        self, error: WasmindError, answer: Answer, identity: bytes, journal: Journal | None
    ) -> None:
        """Tell the function's log, and the client if it has heard nothing yet; else its transfer is cut."""
        started = answer.status != 0
        if journal is not None:
            journal.failed(error, started=started)
        if started or error.status == 499:
            return
        extra: list[tuple[bytes, bytes]] = []
        if isinstance(error, MethodNotAllowed):
            extra.append((b"allow", error.allowed.encode()))
        await answer.problem(error, identity, dev=self._deployment.dev, extra=extra)

    def _count(
        self, meter: FunctionMeter, status: int, seconds: float, figures: Figures, error: WasmindError | None
    ) -> None:
        self.ended += 1
        meter.ended(status, seconds, figures.cpu_ns / 1e9, figures.waited_ns / 1e9, figures.memory_peak)
        if error is not None:
            meter.failed(error.code)

    def _tell(
        self, scope: dict[str, Any], identity: bytes, status: int, seconds: float, figures: Figures
    ) -> None:
        """One line per request, for the developer."""
        self._logger.info(
            f"{scope['method']} {scope['path']}",
            status=status,
            ms=round(seconds * 1e3, 2),
            cpu_ms=round(figures.cpu_ns / 1e6, 2),
            inference_ms=round(figures.inference_ns / 1e6, 2),
            memory_kib=figures.memory_peak >> 10,
            request_id=identity.decode(),
        )


class Timing:
    """Where the time went until the answer began, as a `Server-Timing` value (in milliseconds)."""

    __slots__ = ("_began", "_session")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._began = perf_counter()

    def __call__(self) -> bytes:
        """The header's value."""
        timing = self._session.timing
        sandbox = (perf_counter() - self._began) * 1e3 - timing.waited_ns / 1e6
        return b"sandbox;dur=%.3f, queue;dur=%.3f, inference;dur=%.3f" % (
            sandbox,
            timing.queue_ns / 1e6,
            timing.compute_ns / 1e6,
        )
