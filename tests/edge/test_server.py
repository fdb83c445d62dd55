from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from wasmind.edge.server import MAX_HEAD, HttpServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


class App:
    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.going = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["path"] == "/nothing":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/cut":
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
            return
        if scope["path"] == "/slow":
            self.going.set()
            await self.go_on.wait()
        await send({"type": "http.response.body", "body": b"hello"})


def listening() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    return listener


@asynccontextmanager
async def serving(app: App, **settings: Any) -> AsyncIterator[tuple[HttpServer, int]]:
    listener = listening()
    port = listener.getsockname()[1]
    server = HttpServer(app, listener, **{"header_timeout_ms": 5000.0, "connections": 100} | settings)
    server.start()
    try:
        yield server, port
    finally:
        server.stop()
        await asyncio.wait_for(server.wait(), 10)


async def exchange(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()
        await writer.wait_closed()


CLOSE = b"GET %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


async def test_it_serves_on_the_socket_it_was_given() -> None:
    app = App()
    async with serving(app) as (_, port):
        answer = await exchange(port, CLOSE % b"/")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nhello")
    assert app.scopes[0]["path"] == "/"


async def test_an_app_that_ends_in_mid_response_cuts_the_transfer() -> None:
    async with serving(App()) as (_, port):
        answer = await exchange(port, CLOSE % b"/cut")
    assert b"begun" in answer
    assert not answer.endswith(b"0\r\n\r\n"), "a clean end would pass a part for the whole"


async def test_an_app_without_an_answer_is_a_500() -> None:
    async with serving(App()) as (_, port):
        assert (await exchange(port, CLOSE % b"/nothing")).startswith(b"HTTP/1.1 500 ")


async def test_a_connection_that_sends_no_head_is_closed() -> None:
    async with serving(App(), header_timeout_ms=200.0) as (_, port):
        for beginning in (b"", b"GET / HTTP/1.1\r\nHos"):
            assert await asyncio.wait_for(exchange(port, beginning), 5) == b""
        assert b"hello" in await asyncio.wait_for(exchange(port, GET), 5), (
            "an idle connection is closed as well"
        )


async def test_a_head_that_does_not_fit_is_refused() -> None:
    app = App()
    async with serving(app) as (_, port):
        flood = b"".join(b"x%d: y\r\n" % i for i in range(200))
        assert (await exchange(port, b"GET / HTTP/1.1\r\nHost: h\r\n" + flood + b"\r\n")).startswith(
            b"HTTP/1.1 431"
        )
        big = b"x: " + b"y" * (MAX_HEAD * 4) + b"\r\n"
        try:
            answer = await exchange(port, b"GET / HTTP/1.1\r\nHost: h\r\n" + big + b"\r\n")
        except ConnectionError:  # it did not read on to the end before it closed
            answer = b"HTTP/1.1 431"
        assert answer.startswith(b"HTTP/1.1 431")
    assert app.scopes == []


async def test_with_two_framings_the_connection_is_closed_after_the_first_request() -> None:
    """RFC 9112, 6.3: what follows could be a smuggled request, so nothing that follows is read."""
    app = App()
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
    for framing in (
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    ):
        async with serving(app) as (_, port):
            await exchange(port, b"POST / HTTP/1.1\r\nHost: h\r\n" + framing + b"\r\n0\r\n\r\n" + smuggled)
    assert [scope["path"] for scope in app.scopes] == ["/", "/"]


async def test_stopping_finishes_what_runs_and_takes_what_is_queued() -> None:
    app = App()
    async with serving(app) as (server, port):
        slow = asyncio.create_task(exchange(port, b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n"))
        await app.going.wait()
        server.stop()
        await asyncio.sleep(0.05)
        with pytest.raises(ConnectionError):
            await exchange(port, GET)
        app.go_on.set()
        assert b"hello" in await slow


async def test_connections_beyond_the_bound_wait() -> None:
    app = App()
    async with serving(app, connections=1) as (_, port):
        slow = asyncio.create_task(exchange(port, CLOSE % b"/slow"))
        await app.going.wait()
        waiting = asyncio.create_task(exchange(port, CLOSE % b"/"))
        await asyncio.sleep(0.1)
        assert len(app.scopes) == 1
        app.go_on.set()
        assert b"hello" in await slow
        assert b"hello" in await waiting


async def test_two_servers_take_turns_on_one_inherited_socket() -> None:
    """A replacement serves the connections that came while nobody accepted."""
    listener = listening()
    port, kept = listener.getsockname()[1], listener.dup()
    first = HttpServer(App(), listener, header_timeout_ms=1000, connections=10)
    first.start()
    assert b"hello" in await exchange(port, CLOSE % b"/")
    first.stop()
    await first.wait()
    waiting = asyncio.create_task(exchange(port, CLOSE % b"/"))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    second = HttpServer(App(), kept, header_timeout_ms=1000, connections=10)
    second.start()
    assert b"hello" in await waiting
    second.stop()
    await second.wait()
