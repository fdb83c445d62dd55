"""A TCP proxy that does to a server's answers what a test says."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SLOW_S = 1.0
Mode = Literal["pass", "hang", "slow", "rubbish", "half", "cut"]


class Meddler:
    """Set `mode` at any time; it counts for what comes from then on."""

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self._host, self._port = where.hostname, where.port
        self.mode: Mode = "pass"
        self.url = ""
        self.open = 0
        """Connections that stand."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.open += 1
        try:
            there, back = await asyncio.open_connection(self._host, self._port)
            try:
                sides = [
                    asyncio.ensure_future(self._carry(reader, back, meddle=False)),
                    asyncio.ensure_future(self._carry(there, writer, meddle=True)),
                ]
                try:
                    await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for side in sides:
                        side.cancel()
                    await asyncio.gather(*sides, return_exceptions=True)
            finally:
                back.transport.abort()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self.open -= 1

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, meddle: bool) -> None:
        while data := await source.read(65536):
            mode = self.mode if meddle else "pass"
            if mode == "hang":
                await asyncio.Event().wait()
            if mode == "cut":
                return
            if mode == "slow":
                await asyncio.sleep(SLOW_S)
            if mode == "rubbish":
                data = bytes(byte ^ 0x5A for byte in data)
            if mode == "half":
                sink.write(data[: len(data) // 2])
                await sink.drain()
                return
            sink.write(data)
            await sink.drain()

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def meddling(url: str, port: int = 0) -> AsyncIterator[Meddler]:
    """A proxy before the server at `url`."""
    meddler = Meddler(url)
    server = await asyncio.start_server(meddler.connected, "127.0.0.1", port)
    meddler.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield meddler
    finally:
        server.close()
        await meddler.close()
