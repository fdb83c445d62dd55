"""A small HTTP client for the demo: it asks one thing at a time, or keeps a node busy and counts."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import itertools
import re
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec

from wasmind.errors import NodeError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

_TIMING = re.compile(r"([a-z]+);dur=([0-9.]+)")


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, and how long it took from here, in milliseconds."""

    status: int
    body: bytes
    timing: dict[str, float]
    """Milliseconds by part, from `Server-Timing`."""
    took_ms: float

    def json(self) -> Any:
        """The body of a successful answer. Raises NodeError for any other."""
        if self.status != 200:
            raise NodeError(f"the function answered {self.status}", cause=self.body.decode(errors="replace"))
        return msgspec.json.decode(self.body)


class Connection:
    """One connection, used for one request after the other."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Connection:
        self._reader, self._writer = await asyncio.open_connection(*self._address)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def post(self, path: str, body: bytes) -> Answer:
        """Send `body` to `path`. Raises OSError, IncompleteReadError when the node goes away."""
        began = perf_counter()
        host, port = self._address
        head = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        line, _, rest = (await self._reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
        headers = http.client.parse_headers(io.BytesIO(rest))
        if "chunked" in headers.get("Transfer-Encoding", ""):
            content = await self._chunks()
        else:
            content = await self._reader.readexactly(int(headers["Content-Length"]))
        timing = {part: float(ms) for part, ms in _TIMING.findall(headers.get("Server-Timing", ""))}
        return Answer(int(line.split()[1]), content, timing, (perf_counter() - began) * 1e3)

    async def _chunks(self) -> bytes:
        found = b""
        while size := int(await self._reader.readline(), 16):
            found += await self._reader.readexactly(size)
            await self._reader.readline()
        await self._reader.readline()
        return found


@dataclass(frozen=True, slots=True)
class Sustained:
    """What a node did under load."""

    requests: int
    failed: int
    seconds: float
    connections: int
    median_ms: float

    @property
    def per_second(self) -> float:
        """Requests answered well per second."""
        return (self.requests - self.failed) / self.seconds


async def sustain(
    host: str, port: int, path: str, bodies: Sequence[bytes], *, connections: int, seconds: float
) -> Sustained:
    """Ask for `seconds`, on so many connections at once, each asking again as soon as it is answered."""
    times: list[float] = []
    failed = 0
    until = perf_counter() + seconds

    async def ask(first: int) -> None:
        nonlocal failed
        async with Connection(host, port) as connection:
            for body in itertools.islice(itertools.cycle(bodies), first, None):
                if perf_counter() >= until:
                    return
                answer = await connection.post(path, body)
                times.append(answer.took_ms)
                failed += answer.status != 200

    began = perf_counter()
    await asyncio.gather(*(ask(number) for number in range(connections)))
    median = sorted(times)[len(times) // 2] if times else 0.0
    return Sustained(len(times), failed, perf_counter() - began, connections, median)
