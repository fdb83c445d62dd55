"""One request: checked, routed, admitted, run in a fresh sandbox, answered, counted. This is the hot path."""

from __future__ import annotations

import asyncio
import traceback
from time import perf_counter
from typing import TYPE_CHECKING, Any

from wasmind.edge.journal import Journal
from wasmind.errors import (
    ClientGone,
    GuestError,
    LimitExceeded,
    MethodNotAllowed,
    Overloaded,
    RouteNotFound,
    WasmindError,
)
from wasmind.httpd.head import Head
from wasmind.nn.session import Session
from wasmind.sandbox import Figures
from wasmind.telemetry.logs import failure

if TYPE_CHECKING:
    from wasmind.edge.admission import Admission
    from wasmind.edge.deployment import Deployment
    from wasmind.edge.functions import Function
    from wasmind.httpd.request import HttpRequest
    from wasmind.sandbox import Guest
    from wasmind.telemetry.figures import EdgeFigures, FunctionMeter
    from wasmind.telemetry.logs import Logger

_NO_FIGURES = Figures()


class App:
    """What an edge worker's HTTP server gives its requests to."""

    def __init__(
        self,
        deployment: Deployment,
        admission: Admission,
        figures: EdgeFigures,
        logger: Logger,
    ) -> None:
        self._deployment = deployment
        self._admission = admission
        self._logger = logger
        self._unrouted = figures.function("")
        self.ended = 0
        """Requests answered so far."""

    async def __call__(self, request: HttpRequest) -> None:
        """Answer a request. Raises nothing: a failure becomes a response, or cuts the one that has begun."""
        began = perf_counter()
        meter = self._unrouted
        journal: Journal | None = None
        figures = _NO_FIGURES
        error: WasmindError | None = None
        try:
            head = Head(request.method, request.target, request.headers, request.version)
            match = self._deployment.router.find(head.host, head.path)
            if match is None:
                raise _no_route(head)
            function, script_name = match
            account = function.account
            meter = account.meter
            journal = Journal(self._logger, function.name, request.response.identity, account.budget)
            if function.methods is not None:
                function.check_method(head.method)
            if head.length or head.chunked:
                request.body.allow(head, function.limits)
            self._admission.enter(account.slots, function.name)
            figures, error = await self._run(function, script_name, head, request, journal)
        except WasmindError as refused:
            error = refused
        if error is not None:
            self._fail(error, request, journal)
        if journal is not None and journal.log is not None:
            journal.close()
        seconds = (request.released or perf_counter()) - began
        self._count(meter, request.response.status or 499, seconds, figures, error)
        if self._deployment.dev:
            self._tell(request, seconds, figures)
        if error is not None:
            error.let_go()
        if figures is not _NO_FIGURES and not function.retiring:
            function.spare.fill()

    def refused(self, error: WasmindError) -> None:
        """Count what was no request; the connection has answered it."""
        self._count(self._unrouted, error.status, 0.0, _NO_FIGURES, error)
        if self._deployment.dev:
            self._logger.info("request refused", status=error.status, **failure(error))

    async def _run(
        self, function: Function, script_name: str, head: Head, request: HttpRequest, journal: Journal
    ) -> tuple[Figures, WasmindError | None]:
        """Run a guest that was admitted; what it used, and how it failed."""
        session = Session(function.models, function.limits, function.entry.tenant)
        function.running += 1
        guest: Guest[Any] | None = None
        error: WasmindError | None = None
        try:
            exchange, guest = function.begin(head, script_name, request, session, journal)
            if self._deployment.dev:
                request.response.timing = Timing(session)
            await exchange.run(guest)
        except GuestError as failed:
            error = _refusal(session, failed)
        except WasmindError as failed:
            error = failed
        except asyncio.CancelledError:
            error = _why_ended(request)
            if error is None:
                raise
        except Exception as failed:  # noqa: BLE001 - a mistake of ours may cost this request, never the worker
            error = WasmindError(f"{type(failed).__name__}: {failed}", cause=traceback.format_exc())
        finally:
            if guest is not None:
                guest.close()
            self._admission.leave(function.account.slots)
            function.running -= 1
            if function.retiring:
                self._deployment.left(function)
        return guest.figures if guest is not None else _NO_FIGURES, error

    def _fail(self, error: WasmindError, request: HttpRequest, journal: Journal | None) -> None:
        """Tell the function's log, and the client if it has heard nothing yet; else its transfer is cut."""
        response = request.response
        if journal is not None:
            journal.failed(error, started=response.status != 0)
        if response.status == 0 and not isinstance(error, ClientGone):
            allow = error.allowed if isinstance(error, MethodNotAllowed) else None
            response.timing = None
            response.problem(error, dev=self._deployment.dev, allow=allow)

    def _count(
        self, meter: FunctionMeter, status: int, seconds: float, figures: Figures, error: WasmindError | None
    ) -> None:
        self.ended += 1
        meter.ended(status, seconds, figures.cpu_ns / 1e9, figures.waited_ns / 1e9, figures.memory_peak)
        if error is not None:
            meter.failed(error.code)

    def _tell(self, request: HttpRequest, seconds: float, figures: Figures) -> None:
        """One line per request, for the developer."""
        self._logger.info(
            f"{request.method.decode()} {request.target.decode('latin-1')}",
            status=request.response.status,
            ms=round(seconds * 1e3, 2),
            cpu_ms=round(figures.cpu_ns / 1e6, 2),
            inference_ms=round(figures.inference_ns / 1e6, 2),
            memory_kib=figures.memory_peak >> 10,
            request_id=request.response.identity.decode(),
        )


class Timing:
    """Where the time went until the response began, as a `Server-Timing` value (in milliseconds)."""

    __slots__ = ("_began", "_session")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._began = perf_counter()

    def __call__(self) -> bytes:
        """The header's value."""
        timing = self._session.timing
        sandbox = (perf_counter() - self._began) * 1e3 - timing.waited_ns / 1e6
        told = b"sandbox;dur=%.3f, queue;dur=%.3f, inference;dur=%.3f" % (
            sandbox,
            timing.queue_ns / 1e6,
            timing.compute_ns / 1e6,
        )
        for words in dict.fromkeys(timing.stand_ins):
            told += b', stand-in;desc="%b"' % words.encode("ascii", "replace")
        return told


def _no_route(head: Head) -> RouteNotFound:
    return RouteNotFound(
        "no function serves this host and path",
        cause=f"host {head.host.decode()!r}, path {head.path!r}",
        remedy="`wasmind functions ls` shows the routes",
    )


def _refusal(session: Session, failed: GuestError) -> WasmindError:
    """How a guest failed; or why its model did not take its inference, since then it may be tried again."""
    refusal = session.timing.refusal
    if refusal is None or isinstance(failed, LimitExceeded):
        return failed
    return refusal


def _why_ended(request: HttpRequest) -> WasmindError | None:
    """Why a request was cancelled, if it was by its connection or by the drain."""
    if request.gone:
        return ClientGone("the client closed the connection before the answer was complete")
    if request.cut:
        return Overloaded("the node stops, and the request did not end in time", remedy="try again")
    return None
