from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from wasmind.demo.client import Answer, Connection, Sustained, sustain
from wasmind.errors import NodeError

Respond = Callable[[bytes, bytes], bytes]


@asynccontextmanager
async def served(respond: Respond) -> AsyncIterator[int]:
    """A server that answers each request with `respond(head, body)`; gives its port."""

    handlers = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                writer.write(respond(head, await reader.readexactly(length)))
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*handlers)


def ok(body: bytes, *headers: bytes) -> bytes:
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join((b"HTTP/1.1 200 OK", length, *headers, b"", body))


async def ask(respond: Respond, *bodies: bytes) -> list[Answer]:
    async with served(respond) as port, Connection("127.0.0.1", port) as connection:
        return [await connection.post("/classify", body) for body in bodies]


async def test_requests_follow_each_other_on_one_connection() -> None:
    seen = []

    def respond(head: bytes, body: bytes) -> bytes:
        seen.append(head.splitlines()[0])
        return ok(b'{"got": "%s"}' % body)

    answers = await ask(respond, b"one", b"two")
    assert [answer.json() for answer in answers] == [{"got": "one"}, {"got": "two"}]
    assert seen == [b"POST /classify HTTP/1.1"] * 2
    assert all(answer.took_ms > 0 for answer in answers)


async def test_chunks_are_put_together() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    data = head + b"3\r\n[1,\r\n" + b"2\r\n2]\r\n" + b"0\r\n\r\n"
    first, second = await ask(lambda *_: data, b"", b"")
    assert first.json() == second.json() == [1, 2]


async def test_the_time_split_is_read() -> None:
    header = b"Server-Timing: sandbox;dur=0.290, queue;dur=0.000, inference;dur=12.5"
    (answer,) = await ask(lambda *_: ok(b"", header), b"")
    assert answer.timing == {"sandbox": 0.29, "queue": 0.0, "inference": 12.5}
    (without,) = await ask(lambda *_: ok(b""), b"")
    assert without.timing == {}


async def test_another_status_is_an_error_with_its_words() -> None:
    refusal = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
    (answer,) = await ask(lambda *_: refusal, b"")
    assert answer.status == 503
    with pytest.raises(NodeError, match="answered 503") as caught:
        answer.json()
    assert caught.value.cause == "busy"


async def test_load_counts_every_answer() -> None:
    seen: list[bytes] = []

    def respond(_: bytes, body: bytes) -> bytes:
        seen.append(body)
        return ok(b"") if len(seen) % 2 else b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"

    async with served(respond) as port:
        found = await sustain("127.0.0.1", port, "/", [b"a", b"b"], connections=3, seconds=0.2)
    assert found.requests == len(seen) > 10
    assert found.failed == len(seen) // 2
    assert found.connections == 3
    assert found.seconds == pytest.approx(0.2, abs=0.15)
    assert {b"a", b"b"} == set(seen)


def test_a_rate_leaves_failures_out() -> None:
    found = Sustained(requests=100, failed=20, seconds=2.0, connections=1, median_ms=1.0)
    assert found.per_second == 40
