"""The answer to one request, on its way to the client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wasmind.edge.problems import problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from wasmind.edge.body import RequestBody
    from wasmind.errors import WasmindError

SERVER = (b"server", b"wasmind")
CLOSE = (b"connection", b"close")

_OURS = frozenset((b"server", b"x-request-id"))


class Answer:
    """A `cgi.Response`: head and body go to the server, which makes the sender wait for a slow client."""

    __slots__ = ("_own", "_send", "body_of_request", "complete", "status", "timing")

    def __init__(
        self, send: Callable[[dict[str, Any]], Awaitable[None]], request_id: bytes, *, closing: bool
    ) -> None:
        """`closing`: this connection ends with this answer."""
        self._send = send
        own = (SERVER, (b"x-request-id", request_id))
        self._own = (*own, CLOSE) if closing else own
        self.status = 0
        """What was sent to the client; 0 before that."""
        self.complete = False
        """Whether the last part was given to the server."""
        self.timing: Callable[[], bytes] | None = None
        """Gives the value of `Server-Timing`, where that is told."""
        self.body_of_request: RequestBody | None = None

    def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> Awaitable[None]:
        """Send the head. Names are in lower case."""
        self.status = status
        kept = [header for header in headers if header[0] not in _OURS]
        kept += self._own
        if self.timing is not None:
            kept.append((b"server-timing", self.timing()))
        return self._send({"type": "http.response.start", "status": status, "headers": kept})

    def body(self, chunk: bytes, more: bool) -> Awaitable[None]:
        """Send a part; to be awaited before the next one."""
        if not more:
            self.complete = True
            if self.body_of_request is not None:
                self.body_of_request.unwatch()
        return self._send({"type": "http.response.body", "body": chunk, "more_body": more})

    async def problem(
        self,
        error: WasmindError,
        request_id: bytes,
        *,
        dev: bool,
        extra: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        """Answer with `error`; nothing was sent yet."""
        headers, document = problem(error, request_id, dev=dev)
        await self.start(error.status, [*headers, *extra])
        await self.body(document, more=False)
