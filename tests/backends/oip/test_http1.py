"""The HTTP client against servers that speak byte by byte as each test says."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from wasmind.backends.oip import dial
from wasmind.backends.oip import pool as pools
from wasmind.backends.oip.exchange import WORDS, Answer, BrokenOff, TooMuch, Unreachable
from wasmind.backends.oip.http1 import MAX_HEAD, Connection
from wasmind.backends.oip.pool import Pool

ASK = b"GET /x HTTP/1.1\r\nhost: h\r\n\r\n"
Speak = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Peer:
    """A server's port, and how many connections came."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connections = 0


@asynccontextmanager
async def speaking(speak: Speak) -> AsyncIterator[tuple[Pool, Peer]]:
    """`speak` is called for each request."""
    peer = Peer(0)
    tasks: set[asyncio.Task[None] | None] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer.connections += 1
        tasks.add(asyncio.current_task())
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await speak(reader, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    pool = Pool("127.0.0.1", peer.port, None)
    try:
        yield pool, peer
    finally:
        pool.close()
        server.close()
        for task in tasks:
            assert task is not None
            task.cancel()
            await asyncio.wait({task})
        await asyncio.sleep(0)


def says(data: bytes, *, close: bool = False) -> Speak:
    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        if close:
            writer.close()

    return speak


async def ask(pool: Pool, most: int = 1 << 20) -> Answer:
    async with asyncio.timeout(5):
        return await pool.exchange(ASK, b"", most)


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 204 None\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", b"ok"),
    ],
)
async def test_an_answer_however_it_is_framed(data: bytes, body: bytes) -> None:
    async with speaking(says(data)) as (pool, peer):
        for _ in range(3):
            assert (await ask(pool)).body == body
        assert peer.connections == 1


async def test_an_answer_in_single_bytes() -> None:
    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Some: thing\r\n\r\nhello":
            writer.write(bytes([byte]))
            await asyncio.sleep(0)

    async with speaking(speak) as (pool, _):
        answer = await ask(pool)
        assert (answer.status, answer.body, answer.headers[b"x-some"]) == (200, b"hello", b"thing")


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 503 Away\r\ncontent-length: 2\r\n\r\nok",
    ],
)
async def test_a_connection_that_is_not_used_again(data: bytes) -> None:
    async with speaking(says(data)) as (pool, peer):
        for _ in range(2):
            assert (await ask(pool)).body == b"ok"
        assert peer.connections == 2


async def test_an_answer_that_ends_with_its_connection() -> None:
    async with speaking(says(b"HTTP/1.1 200 OK\r\n\r\nall of it", close=True)) as (pool, peer):
        for _ in range(2):
            assert (await ask(pool)).body == b"all of it"
        assert peer.connections == 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTT",
        b"HTTP/1.1 200 OK\r\ncontent-len",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nok",
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nanything",
        b"\x00\xff" * 1000,
    ],
)
async def test_what_is_no_whole_answer(data: bytes) -> None:
    async with speaking(says(data, close=True)) as (pool, _):
        with pytest.raises(BrokenOff):
            await ask(pool)
        assert not pool._idle


async def test_a_reset_within_the_answer() -> None:
    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nsome")
        await writer.drain()
        where = writer.get_extra_info("socket")
        where.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with speaking(speak) as (pool, _):
        with pytest.raises(BrokenOff):
            await ask(pool)


async def test_a_head_without_end() -> None:
    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"x: " + b"y" * (MAX_HEAD // 8) + b"\r\n")
            await writer.drain()

    async with speaking(speak) as (pool, _):
        with pytest.raises(BrokenOff):
            await ask(pool)


@pytest.mark.parametrize("told", [True, False])
async def test_more_than_was_allowed(told: bool) -> None:
    framing = b"content-length: 2000" if told else b"transfer-encoding: chunked"
    body = b"x" * 2000 if told else b"7d0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n"
    async with speaking(says(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n%b" % (framing, body))) as (pool, _):
        assert len((await ask(pool, 2000)).body) == 2000
        with pytest.raises(TooMuch):
            await ask(pool, 1999)


async def test_of_a_long_refusal_the_beginning_is_enough() -> None:
    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 500 Broken\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            await writer.drain()

    async with speaking(speak) as (pool, _):
        answer = await ask(pool)
        assert answer.status == 500
        assert len(answer.body) <= WORDS


async def test_bytes_that_nobody_asked_for_end_the_connection() -> None:
    twice = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\noneHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\ntwo"
    async with speaking(says(twice)) as (pool, peer):
        assert (await ask(pool)).body == b"one"
        await asyncio.sleep(0.01)
        assert (await ask(pool)).body == b"one", "an answer belongs to the request before it, to no other"
        assert peer.connections == 2


async def test_late_bytes_are_not_the_next_answer() -> None:
    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")

    async with speaking(speak) as (pool, peer):
        assert (await ask(pool)).body == b"ok"
        await asyncio.sleep(0.1)
        assert (await ask(pool)).body == b"ok"
        assert peer.connections == 2


async def test_cancelling_closes_the_connection() -> None:
    gone = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n")
        if not await reader.read(1):
            gone.set()

    async with speaking(speak) as (pool, _):
        asking = asyncio.create_task(pool.exchange(ASK, b"", 100))
        await asyncio.sleep(0.05)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        async with asyncio.timeout(5):
            await gone.wait()
        assert not pool._idle


async def test_a_server_that_closes_idle_connections() -> None:
    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()
        asyncio.get_running_loop().call_later(0.01, writer.close)

    async with speaking(speak) as (pool, peer):
        for count in (1, 2):
            assert (await ask(pool)).body == b"ok"
            assert peer.connections == count
            await asyncio.sleep(0.1)


async def test_idle_connections_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "IDLE_S", 0.05)
    async with speaking(says(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")) as (pool, peer):
        await asyncio.gather(*(ask(pool) for _ in range(5)))
        assert (len(pool._idle), peer.connections) == (5, 5)
        async with asyncio.timeout(5):
            while pool._idle:
                await asyncio.sleep(0.01)


async def test_the_newest_connection_is_used_first() -> None:
    async with speaking(says(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")) as (pool, peer):
        await asyncio.gather(*(ask(pool) for _ in range(5)))
        newest = pool._idle[-1]
        for _ in range(5):
            await ask(pool)
            assert pool._idle[-1] is newest
        assert peer.connections == 5


async def test_a_closed_pool_keeps_nothing() -> None:
    async with speaking(says(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")) as (pool, _):
        await ask(pool)
        pool.close()
        assert not pool._idle
        assert (await ask(pool)).body == b"ok"
        assert not pool._idle


async def test_nobody_listens() -> None:
    async with speaking(says(b"")) as (_, peer):
        port = peer.port
    with pytest.raises(Unreachable):
        await Pool("127.0.0.1", port, None).exchange(ASK, b"", 100)
    with pytest.raises(Unreachable):
        await Pool("no-such-host.invalid", 80, None).exchange(ASK, b"", 100)
    with pytest.raises(Unreachable):
        await Pool("a" * 100 + ".invalid", 80, None).exchange(ASK, b"", 100)


async def test_a_server_that_accepts_and_never_speaks_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    import ssl

    monkeypatch.setattr(dial, "CONNECT_S", 0.1)

    left = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.transport.abort()
        left.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    pool = Pool("127.0.0.1", server.sockets[0].getsockname()[1], ssl.create_default_context())
    with pytest.raises(Unreachable, match="no connection"):
        await pool.exchange(ASK, b"", 100)
    async with asyncio.timeout(5):
        await left.wait()
    server.close()


async def test_a_connection_that_is_lost_before_anything_was_sent() -> None:
    """It may be tried again: the server has seen nothing of the request."""
    connection = Connection()
    with pytest.raises(Unreachable):
        await connection.exchange(ASK, b"", 100)
    connection.connection_lost(None)
    with pytest.raises(Unreachable):
        await connection.exchange(ASK, b"", 100)
