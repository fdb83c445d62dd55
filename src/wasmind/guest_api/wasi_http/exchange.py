"""One request served by one run of a component that exports `wasi:http/incoming-handler`.

The edge does this, with the same request and response as for a command (`cgi.Exchange`)::

    component = Component.load(engine, built, wasi_http.WORLD)              # once per deployed function
    service = Service(component, environ)
    client = Client(function.backends)

    exchange = Exchange(service, request, receive, response, session, log.write, note, client)
    guest = component.guest(limits, exchange.host)
    try:
        await exchange.run(guest)
    except WasmindError as error:
        # `exchange.started` tells whether the client has the head already
    finally:
        guest.close()
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from wasmind.component.component import Component
from wasmind.errors import ProgramError, WasmindError
from wasmind.guest_api.cgi.body import BodySource, Receive
from wasmind.guest_api.cgi.exchange import LogSink
from wasmind.guest_api.cgi.request import Request
from wasmind.guest_api.cgi.response import Response
from wasmind.guest_api.host import Note
from wasmind.guest_api.stdio import BytesSource
from wasmind.guest_api.wasi.state import Wasi
from wasmind.guest_api.wasi_http.bodies import Trailers
from wasmind.guest_api.wasi_http.client import Client, Outgoing
from wasmind.guest_api.wasi_http.host import HttpHost
from wasmind.guest_api.wasi_http.interfaces import HANDLER
from wasmind.guest_api.wasi_http.messages import IncomingRequest, ResponseOutparam
from wasmind.guest_api.wasi_http.sender import Sender
from wasmind.nn.session import Session
from wasmind.sandbox import Guest


class Service:
    """A component that serves HTTP, and the environment of its runs."""

    __slots__ = ("component", "environ", "handle")

    def __init__(self, component: Component, env: Mapping[str, str] | None = None) -> None:
        """Raises ProgramError for a component without a handler."""
        handle = component.export(HANDLER, "handle")
        if handle is None:
            raise ProgramError(
                "the component serves no HTTP requests",
                cause="it does not export wasi:http/incoming-handler",
                remedy="build it for the world wasi:http/proxy",
            )
        self.component = component
        self.environ = [f"{name}={value}".encode() for name, value in (env or {}).items()]
        self.handle = handle


class Exchange:
    """A request, the response being sent, and the host object of the guest in between."""

    __slots__ = ("_request", "_sender", "_service", "host")

    def __init__(
        self,
        service: Service,
        request: Request,
        receive: Receive | None,
        response: Response,
        session: Session,
        log: Callable[[bytes], object],
        note: Note,
        client: Client,
        backend_requests: int = 32,
        answered: Callable[[], object] | None = None,
        trailers: Trailers = tuple,
    ) -> None:
        """`answered` is called when the response is sent in full and the guest goes on; `trailers` gives the
        request's, once its body has come."""
        self._service = service
        self._sender = Sender(response, request.method, answered, request.headers)
        source = BodySource(receive if receive is not None and request.has_body else None)
        self._request = IncomingRequest(request, source, trailers)
        sink = LogSink(log)
        wasi = Wasi(BytesSource(), sink, sink, environ=lambda: service.environ)
        outgoing = Outgoing(client, backend_requests)
        self.host = HttpHost(wasi, session, note, outgoing, self._sender.pass_on)

    @property
    def started(self) -> bool:
        """Whether the response's head was given to `response.start`."""
        return self._sender.started

    async def run(self, guest: Guest[Any]) -> None:
        """Run the guest to its end and send all of its response.

        Raises MalformedResponse, whatever `Guest.call` raises, and whatever `receive` and `response` raise. A
        guest that fails after it completed its response has answered: the failure is noted.
        """
        host, sender, service = self.host, self._sender, self._service
        try:
            await service.component.start(guest)
            try:
                await service.handle(guest, self._request, ResponseOutparam(sender.answered))
            except WasmindError as error:
                if not sender.complete:
                    raise
                host.note(error.explain())
            await sender.finish()
        finally:
            sender.abandon()
            host.close()
