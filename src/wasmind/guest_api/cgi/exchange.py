"""One request served by one run of a WASI command that speaks CGI/1.1 on its standard streams.

The edge does this::

    environment = cgi.Environment(function.env, function.args)              # once per deployed function

    exchange = cgi.Exchange(environment, request, receive, response, session, log.write, note)
    guest = Guest(program, limits, exchange.host)
    try:
        await exchange.run(guest)
    except WasmindError as error:
        # `exchange.started` tells whether the client has the head already (then the connection must be cut,
        # so that the client does not take a part for the whole) or may still get a problem response
    finally:
        guest.close()

`request` is a `cgi.Request`; `receive` an async callable that gives the body's next part, b"" at the end (it
bounds size and time by raising); `response` a `cgi.Response`;
`session` is the guest's wasi-nn state, which `run` closes; `log` takes what the guest writes to stderr, raw;
`note` takes lines that explain to the function's author why a call was refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from wasmind.errors import GuestExit
from wasmind.guest_api.cgi.body import BodySource, Receive
from wasmind.guest_api.cgi.request import Environment, Request
from wasmind.guest_api.cgi.response import Response, ResponseWriter
from wasmind.guest_api.host import CommandHost, Note
from wasmind.guest_api.wasi.state import Wasi
from wasmind.nn.session import Session
from wasmind.sandbox import Guest


class Exchange:
    """A request, the response being written, and the host object of the guest in between."""

    __slots__ = ("_run", "_writer", "host")

    def __init__(
        self,
        environment: Environment,
        request: Request,
        receive: Receive | None,
        response: Response,
        session: Session,
        log: Callable[[bytes], object],
        note: Note,
        make_host: Callable[[Wasi, Session, Note], CommandHost] = CommandHost,
        run: Callable[[Guest[Any]], Awaitable[None]] = Guest.run,
    ) -> None:
        """`make_host` and `run` are other than a module's for a component that is a command."""
        self._writer = ResponseWriter(response, request.method)
        wasi = Wasi(
            stdin=BodySource(receive if receive is not None and request.has_body else None),
            stdout=self._writer,
            stderr=LogSink(log),
            arguments=environment.arguments,
            environ=lambda: environment.variables(request),
        )
        self.host = make_host(wasi, session, note)
        self._run = run

    @property
    def started(self) -> bool:
        """Whether the response's head was given to `response.start`."""
        return self._writer.started

    async def run(self, guest: Guest[CommandHost]) -> None:
        """Run the guest to its end and send all of its response.

        Raises MalformedResponse, GuestExit (for a status other than 0 without a response), whatever
        `Guest.run` raises, and whatever `receive` and `response` raise. A guest that exits with an error
        after it wrote a whole head has answered: its response is sent, and the exit status is noted.
        """
        try:
            try:
                await self._run(guest)
            except GuestExit as exited:
                if not self._writer.answered:
                    raise
                self.host.note(exited.explain())
            await self._writer.finish()
        finally:
            self._writer.abandon()
            self.host.close()


class LogSink(msgspec.Struct):
    """A guest's stderr: every byte goes to a function that escapes, bounds and records it."""

    log: Callable[[bytes], object]
    terminal: bool = False

    def write(self, data: bytes) -> None:
        """Pass it on."""
        self.log(data)

    def flush(self) -> None:
        """Nothing is kept here."""

    def close(self) -> None:
        """The log outlives the stream."""
