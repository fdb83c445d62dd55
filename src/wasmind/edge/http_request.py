"""A request as its connection has it: the head as it was sent, the body as it comes, and the response."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from wasmind.edge.body import RequestBody
from wasmind.edge.request import request_id
from wasmind.edge.response import Response

if TYPE_CHECKING:
    from wasmind.edge.connection import Connection


class HttpRequest:
    """One request of a connection, and the task that serves it."""

    __slots__ = (
        "body",
        "client",
        "cut",
        "gone",
        "headers",
        "method",
        "response",
        "server",
        "target",
        "task",
        "version",
    )

    def __init__(
        self, connection: Connection, method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.version: str = connection.parser.get_http_version()
        self.client = connection.client
        self.server = connection.local
        self.body = RequestBody(connection)
        self.response = Response(
            connection,
            request_id(headers),
            method=method,
            version=self.version,
            keep_alive=connection.parser.should_keep_alive(),
        )
        self.task: asyncio.Task[None] | None = None
        self.gone = False
        """Whether it was ended because its client left."""
        self.cut = False
        """Whether it was ended because the worker stops."""

    def client_left(self) -> None:
        """End it: nobody waits for its answer."""
        if self.task is not None and not self.cut and not self.response.complete:
            self.gone = True
            self.task.cancel()

    def end(self) -> None:
        """End it: the worker stops."""
        if self.task is not None and not self.gone:
            self.cut = True
            self.task.cancel()
