"""A request as its connection has it: the head as it was sent, the body as it comes, and the response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmind.httpd.body import NO_BODY, RequestBody
from wasmind.httpd.head import request_id
from wasmind.httpd.response import Response

if TYPE_CHECKING:
    from wasmind.httpd.connection import Connection


class HttpRequest:
    """One request of a connection."""

    __slots__ = (
        "_connection",
        "body",
        "client",
        "cut",
        "expects",
        "gone",
        "headers",
        "method",
        "released",
        "response",
        "server",
        "target",
        "version",
    )

    def __init__(
        self,
        connection: Connection,
        method: bytes,
        target: bytes,
        headers: list[tuple[bytes, bytes]],
        version: str,
        *,
        identity: bytes,
        has_body: bool,
        expects: bool,
        keep_alive: bool,
    ) -> None:
        self._connection = connection
        self.method = method
        self.target = target
        self.headers = headers
        self.version = version
        self.client = connection.client
        self.server = connection.local
        self.body = RequestBody(connection) if has_body else NO_BODY
        self.response = Response(
            connection,
            request_id(identity),
            method=method,
            version=version,
            keep_alive=keep_alive,
        )
        self.expects = expects and version == "1.1"
        """Whether the client waits for `100 Continue` before it sends the body."""
        self.gone = False
        """Whether it was ended because its client left."""
        self.cut = False
        """Whether it was ended because the worker stops."""
        self.released = 0.0
        """When its client had its answer (`time.perf_counter`), if work went on after that."""

    def release(self) -> None:
        """Serve the connection's next request: this one is answered, and its work goes on by itself."""
        if self.response.complete and self.body.ended:
            self._connection.release(self)
