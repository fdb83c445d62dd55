"""A server that speaks HTTP/2 frame by frame as a test says, packing headers by hpack's own encoder."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import hpack

from wasmind.httpd import frames

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

PATIENCE_S = 10.0
ENDS = frames.END_HEADERS | frames.END_STREAM


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.decoder = hpack.Decoder()
        self.encoder = hpack.Encoder()
        self.encoder.header_table_size = 0

    async def greet(self, settings: dict[int, int] | None = None) -> None:
        """Say what is taken, and read what the client says of itself."""
        self.send(frames.settings(settings or {}))
        assert await self._exactly(len(frames.PREFACE)) == frames.PREFACE
        await self.first(frames.SETTINGS)

    def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))

    async def next(self) -> tuple[int, int, int, bytes]:
        """The client's next frame: kind, flags, stream, payload."""
        head = await self._exactly(9)
        payload = await self._exactly(int.from_bytes(head[:3], "big"))
        return head[3], head[4], int.from_bytes(head[5:], "big"), payload

    async def first(self, kind: int) -> tuple[int, int, int, bytes]:
        """The next frame of a kind."""
        while (found := await self.next())[0] != kind:
            pass
        return found

    async def request(self) -> tuple[int, dict[str, str], bytes]:
        """A whole request: its stream, headers and body."""
        _, flags, stream, block = await self.first(frames.HEADERS)
        while not flags & frames.END_HEADERS:
            _, more, _, rest = await self.next()
            flags |= more
            block += rest
        body = b""
        while not flags & frames.END_STREAM:
            _, flags, of, payload = await self.first(frames.DATA)
            assert of == stream
            body += payload
        return stream, dict(self.decoder.decode(block)), body

    def block(self, **headers: str) -> bytes:
        """Packed headers: `status` is :status."""
        names = {"status": ":status"}
        pairs = [(names.get(name, name.replace("_", "-")), value) for name, value in headers.items()]
        return self.encoder.encode(pairs)

    def head(self, stream: int, flags: int = frames.END_HEADERS, **headers: str) -> bytes:
        return frames.frame(frames.HEADERS, flags, stream, self.block(**(headers or {"status": "200"})))

    def answer(self, stream: int, body: bytes) -> bytes:
        """A whole answer, in frames as large as may be."""
        size = frames.MAX_FRAME
        parts = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
        sent = [data(stream, part, frames.END_STREAM * (part is parts[-1])) for part in parts]
        return self.head(stream) + b"".join(sent)

    async def ends_with(self, code: int) -> None:
        """The client says goodbye with this code, and closes."""
        _, _, _, payload = await self.first(frames.GOAWAY)
        assert int.from_bytes(payload[4:8], "big") == code
        assert await asyncio.wait_for(self.reader.read(), PATIENCE_S) is not None

    async def _exactly(self, size: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(size), PATIENCE_S)


def data(stream: int, payload: bytes, flags: int = frames.END_STREAM) -> bytes:
    return frames.frame(frames.DATA, flags, stream, payload)


class Listening:
    """The server's port, how many connections came, and what went wrong in the tests' own words."""

    def __init__(self) -> None:
        self.port = self.connections = 0
        self.failed: list[BaseException] = []


@asynccontextmanager
async def speaking(speak: Callable[[Peer], Awaitable[None]]) -> AsyncIterator[Listening]:
    """`speak` is called for each connection, which is cut when it returns. Its failures are the test's."""
    listening = Listening()
    tasks: set[asyncio.Task[None] | None] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listening.connections += 1
        tasks.add(asyncio.current_task())
        try:
            await speak(Peer(reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        except BaseException as error:  # noqa: BLE001 - it is told below
            listening.failed.append(error)
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    listening.port = server.sockets[0].getsockname()[1]
    try:
        yield listening
    finally:
        server.close()
        for task in tasks:
            assert task is not None
            task.cancel()
            await asyncio.wait({task})
        assert not listening.failed, listening.failed
