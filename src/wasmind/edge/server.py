"""Granian's HTTP/1 server inside this process, on a listening socket that the supervisor made and keeps.

Granian's own `embed.Server` makes its sockets itself, handles signals and wraps every call twice; this is
the piece of it that an edge worker needs (docs/decisions/0004). Granian serves the network on a thread of its
own, and calls back into the event loop.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from granian._futures import _new_cbscheduler
from granian._granian import ASGIWorker, SocketHolder, WorkerSignal
from granian.http import HTTP1Settings

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

MAX_HEAD = 64 << 10
"""Bytes of buffer for a connection: a request's line and headers fit in it, or the answer is 431."""

_BACKLOG = 4096


class HttpServer:
    """Serves `app` (an ASGI callable, without lifespan and WebSockets) on `listener` until it is stopped."""

    def __init__(
        self,
        app: Callable[[Any, Any, Any], Awaitable[None]],
        listener: socket.socket,
        *,
        header_timeout_ms: float,
        connections: int,
    ) -> None:
        """`connections` bounds the open connections; beyond it they wait in the kernel's queue.

        A connection that sends no complete head for `header_timeout_ms` is closed, be it new or idle.
        """
        self._app = app
        self._listener = listener
        self._signal = WorkerSignal()
        self._stopped: asyncio.Future[None] | None = None
        self._worker = ASGIWorker(
            1,
            (None, SocketHolder(listener.detach(), False, _BACKLOG)),
            None,
            http_mode="1",
            http1_opts=HTTP1Settings(
                header_read_timeout=max(1, int(header_timeout_ms)), max_buffer_size=MAX_HEAD
            ),
            backpressure=connections,
        )

    def start(self) -> None:
        """Accept connections from now on."""
        loop = asyncio.get_running_loop()
        stopped = self._stopped = loop.create_future()

        def ended() -> None:
            loop.call_soon_threadsafe(stopped.set_result, None)

        self._signal.add_cb(ended)
        scheduler = _new_cbscheduler(loop, self._serve, impl_asyncio=True)
        self._worker.serve_async(scheduler, loop, self._signal)

    def stop(self) -> None:
        """Accept what is queued, then no more; close each connection after its current request."""
        self._signal.set()

    async def wait(self) -> None:
        """Wait until, after `stop`, the last connection is closed."""
        if self._stopped is not None:
            await self._stopped

    async def _serve(self, watcher: Any) -> None:
        proto = watcher.proto
        try:
            await self._app(watcher.scope, proto.receive, proto.send)
        finally:
            watcher.done()  # without a response this answers 500; in mid-response it cuts the connection
