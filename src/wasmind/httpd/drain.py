"""How a server stops without losing anything: what was accepted is finished first."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wasmind.httpd.server import HttpServer

LINGER_S = 0.1
"""So long each answer asks its client to close, before idle connections are closed."""
SILENT_S = 1.0
"""So long, once nothing runs, connections are waited for that have not sent a whole head."""
CUT_S = 1.0
"""How long a request that is ended may take to tell its client."""
POLL_S = 0.02
"""How often a drain looks."""


async def drain(server: HttpServer, seconds: float) -> int:
    """Finish what was accepted within `seconds` and close everything; how many requests were cut.

    First every answer asks its client to close the connection, so that who sends at this moment meets no
    closed one; then the queue of the listening socket is emptied and idle connections are closed.
    """
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    server.close_connections()
    await asyncio.sleep(min(LINGER_S, max(0.0, ends - loop.time())))
    server.stop()
    quiet = 0.0
    while (server.open or server.running) and quiet < SILENT_S and loop.time() < ends:
        await asyncio.sleep(POLL_S)
        quiet = 0.0 if server.running else quiet + POLL_S
    cut = await _cut(server)
    server.abort()
    await server.wait()
    return cut


async def _cut(server: HttpServer) -> int:
    """End what still runs, and give it a moment to tell its clients; how many requests that were."""
    left = server.running
    server.cut()
    for _ in range(int(CUT_S / POLL_S)):
        if not server.running:
            break
        await asyncio.sleep(POLL_S)
    return len(left)
