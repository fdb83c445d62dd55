"""A plain HTTP client for tests: it sends the bytes it is given, and reads what comes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; `complete` is False when its transfer was cut."""

    status: int
    headers: dict[str, str]
    body: bytes
    complete: bool = True


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        """Send these bytes."""
        self.writer.write(data)

    async def answer(self, *, head: bool = False) -> Answer:
        """Read one response; `head`: it answers a HEAD and has no body. Raises EOFError when none comes."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                raise EOFError("the server closed without an answer") from error
            status = int(lines[0].split(" ")[1])
            headers = dict(line.split(": ", 1) for line in lines[1:-2])
            if status == 100:
                return Answer(status, headers, b"")
            if head or status in (204, 304):
                return Answer(status, headers, b"")
            body, complete = await self._body(headers)
            return Answer(status, headers, body, complete)

    async def _body(self, headers: dict[str, str]) -> tuple[bytes, bool]:
        parts: list[bytes] = []
        try:
            if "content-length" in headers:
                return await self.reader.readexactly(int(headers["content-length"])), True
            if headers.get("transfer-encoding") != "chunked":
                return await self.reader.read(), True
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                parts.append(await self.reader.readexactly(size))
                await self.reader.readexactly(2)
            await self.reader.readexactly(2)
        except asyncio.IncompleteReadError as error:
            return b"".join(parts) + error.partial, False
        except ConnectionError:
            return b"".join(parts), False
        return b"".join(parts), True

    async def ended(self) -> bool:
        """Wait until the server closes the connection; whether it sent nothing more before."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True

    async def close(self) -> None:
        """Leave; what could not be sent yet is not."""
        if self.writer.transport.get_write_buffer_size():
            self.writer.transport.abort()
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            return


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    """A connection to a port of this machine."""
    client = Client(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield client
    finally:
        await client.close()


def head(method: str = "GET", path: str = "/", **headers: str | int) -> bytes:
    """A request's line and headers, as HTTP/1.1 with a Host."""
    lines = [f"{method} {path} HTTP/1.1", "Host: test"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def ask(
    port: int, method: str = "GET", path: str = "/", body: bytes = b"", **headers: str | int
) -> Answer:
    """One request on a connection of its own."""
    if body:
        headers["Content_Length"] = len(body)
    async with connected(port) as client:
        client.send(head(method, path, Connection="close", **headers) + body)
        return await client.answer(head=method == "HEAD")
