"""The HTTP server over real sockets, with an application that does as the path says."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.garbage import leaves_nothing
from support.http import Answer, ask, connected, head
from wasmind.config import Limits
from wasmind.errors import RequestError, WasmindError
from wasmind.httpd.connection import DISCARDED, MAX_WAITING, WRITE_WINDOW
from wasmind.httpd.head import Head
from wasmind.httpd.reader import MAX_HEAD, MAX_HEADERS
from wasmind.httpd.server import HttpServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wasmind.httpd.request import HttpRequest

GET = head()


class App:
    """Answers by path, and remembers what it met."""

    def __init__(self) -> None:
        self.requests: list[HttpRequest] = []
        self.refusals: list[RequestError] = []
        self.bodies: list[bytes] = []
        self.cancelled = asyncio.Event()
        self.going = asyncio.Event()
        self.go_on = asyncio.Event()
        self.written = 0

    @property
    def paths(self) -> list[bytes]:
        return [request.target for request in self.requests]

    async def __call__(self, request: HttpRequest) -> None:
        self.requests.append(request)
        try:
            request.body.allow(
                Head(request.method, request.target, request.headers, request.version), Limits()
            )
            await self._answer(request)
        except WasmindError as error:
            if not request.response.status:
                request.response.problem(error, dev=False)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def _answer(self, request: HttpRequest) -> None:
        response, path = request.response, request.target
        if path == b"/slow":
            self.going.set()
            await self.go_on.wait()
        elif path == b"/begun":
            response.start(200, [])
            response.body(b"be", more=True)
            self.going.set()
            await self.go_on.wait()
            response.body(b"gun", more=False)
            return
        elif path == b"/nothing":
            return
        elif path == b"/cut":
            response.start(200, [])
            response.body(b"begun", more=True)
            return
        elif path == b"/endless":
            response.start(200, [])
            while True:
                slow = response.body(b"x" * 10_000, more=True)
                self.written += 10_000
                await (slow or asyncio.sleep(0))
        elif path == b"/read":
            parts = []
            while part := await request.body.receive():
                parts.append(part)
            self.bodies.append(b"".join(parts))
        response.start(200, [(b"content-length", b"5")])
        response.body(b"hello", more=False)

    def refused(self, error: RequestError) -> None:
        self.refusals.append(error)


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


@asynccontextmanager
async def serving(app: App, **chosen: Any) -> AsyncIterator[tuple[HttpServer, int]]:
    listener = listening()
    port = listener.getsockname()[1]
    server = HttpServer(
        app, app.refused, listener, **{"header_timeout_ms": 5000.0, "connections": 100} | chosen
    )
    await server.start()
    try:
        yield server, port
    finally:
        server.stop()
        server.abort()
        await asyncio.wait_for(server.wait(), 10)


# --- one request after the other ----------------------------------------------------------------------------


async def test_a_request_is_answered() -> None:
    app = App()
    async with serving(app) as (_, port):
        answer = await ask(port, "GET", "/x?y=z", X_Own=" value ")
    assert (answer.status, answer.body) == (200, b"hello")
    request = app.requests[0]
    assert (request.method, request.target, request.version) == (b"GET", b"/x?y=z", "1.1")
    assert (b"x-own", b"value") in request.headers
    assert request.server == ("127.0.0.1", port)
    assert request.client[0] == "127.0.0.1"


async def test_a_connection_serves_many_requests() -> None:
    async with serving(App()) as (_, port), connected(port) as client:
        for _ in range(3):
            client.send(GET)
            assert (await client.answer()).body == b"hello"


@pytest.mark.parametrize("closing", ["Connection: close\r\n", "", "Content-Length: 5\r\n"])
async def test_what_a_connection_made_is_freed_with_it(closing: str) -> None:
    """Whether the server closes it, the client does, or the client leaves in the middle of its request."""

    async def ask_once() -> None:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.setblocking(False)
            await loop.sock_sendall(client, f"GET / HTTP/1.1\r\nHost: x\r\n{closing}\r\n".encode())
            assert b"hello" in await loop.sock_recv(client, 4096)
        app.requests.clear()
        while server.open:
            await asyncio.sleep(0.001)

    app, loop = App(), asyncio.get_running_loop()
    async with serving(app) as (server, port):
        await leaves_nothing(ask_once)


async def test_requests_sent_ahead_are_answered_in_order() -> None:
    app = App()
    async with serving(app) as (_, port), connected(port) as client:
        paths = ["/slow", "/1", "/read", "/3"]
        bodies = [b"", b"", b"abc", b""]
        for path, body in zip(paths, bodies, strict=True):
            client.send(head("POST", path, Content_Length=len(body)) + body)
        await app.going.wait()
        assert len(app.requests) == 1, "one at a time"
        app.go_on.set()
        for _ in paths:
            assert (await client.answer()).body == b"hello"
    assert app.paths == [path.encode() for path in paths]
    assert app.bodies == [b"abc"]


async def test_only_so_many_requests_may_be_sent_ahead() -> None:
    app = App()
    async with serving(app) as (_, port), connected(port) as client:
        client.send(head(path="/slow") + GET * (MAX_WAITING + 10))
        await app.going.wait()
        app.go_on.set()
        for _ in range(MAX_WAITING + 1):
            assert (await client.answer()).status == 200
        assert (await client.answer()).status == 400
        assert await client.ended()
    assert len(app.requests) == MAX_WAITING + 1


async def test_http_1_0_closes_unless_it_asks_otherwise() -> None:
    async with serving(App()) as (_, port):
        async with connected(port) as client:
            client.send(b"GET / HTTP/1.0\r\n\r\n")
            assert (await client.answer()).headers["connection"] == "close"
            assert await client.ended()
        async with connected(port) as client:
            for _ in range(2):
                client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                assert (await client.answer()).headers["connection"] == "keep-alive"


async def test_a_head_that_comes_byte_by_byte() -> None:
    app = App()
    async with serving(app) as (_, port), connected(port) as client:
        for byte in head("POST", "/read", Content_Length=3) + b"abc":
            client.send(bytes([byte]))
            await client.writer.drain()
            await asyncio.sleep(0)
        assert (await client.answer()).status == 200
    assert app.paths == [b"/read"]
    assert app.bodies == [b"abc"]


# --- bodies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
async def test_bodies_of_known_length(size: int) -> None:
    app = App()
    sent = bytes(range(256)) * (size // 256 + 1)
    async with serving(app) as (_, port):
        assert (await ask(port, "POST", "/read", sent[:size])).status == 200
    assert app.bodies == [sent[:size]]


async def test_chunked_bodies_with_extensions_and_trailers() -> None:
    app = App()
    async with serving(app) as (_, port), connected(port) as client:
        client.send(head("POST", "/read", Transfer_Encoding="chunked"))
        client.send(b"3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: ignored\r\n\r\n")
        assert (await client.answer()).status == 200
        client.send(GET)
        assert (await client.answer()).status == 200
    assert app.bodies == [b"abcde"]
    assert all(name != b"x-trailer" for request in app.requests for name, _ in request.headers)


async def test_a_client_that_expects_is_invited_when_its_body_is_wanted() -> None:
    app = App()
    async with serving(app) as (_, port), connected(port) as client:
        client.send(head("POST", "/read", Content_Length=3, Expect="100-continue"))
        assert (await client.answer()).status == 100
        client.send(b"abc")
        assert (await client.answer()).status == 200
    assert app.bodies == [b"abc"]


async def test_a_client_that_expects_in_vain_is_not_waited_for() -> None:
    """Its next bytes could be the body or another request: nobody can tell, so the connection ends."""
    app = App()
    async with serving(app) as (_, port), connected(port) as client:
        client.send(head("POST", "/", Content_Length=3, Expect="100-continue"))
        assert (await client.answer()).status == 200
        client.send(GET)
        assert await client.ended()
    assert app.paths == [b"/"]


async def test_a_small_unread_body_does_not_cost_the_connection() -> None:
    app = App()
    async with serving(app) as (_, port), connected(port) as client:
        client.send(head("POST", "/", Content_Length=100_000))
        assert (await client.answer()).status == 200
        client.send(b"GET /fake HTTP/1.1\r\nHost: h\r\n\r\n".ljust(100_000) + head(path="/next"))
        assert (await client.answer()).status == 200
    assert app.paths == [b"/", b"/next"]


async def test_a_large_unread_body_ends_the_connection_after_its_answer_was_read() -> None:
    app = App()
    size = 8_000_000
    async with serving(app) as (_, port), connected(port) as client:
        client.send(head("POST", "/", Content_Length=size) + b"x" * size)
        assert (await client.answer()).body == b"hello"
        assert size > DISCARDED
        assert await client.ended()


async def test_a_reader_that_is_slow_makes_its_client_wait() -> None:
    app = App()
    async with serving(app) as (_, port), connected(port) as client:
        client.writer.transport.set_write_buffer_limits(0)
        client.send(head("POST", "/slow", Content_Length=50_000_000))
        sent = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while True:
                    client.send(b"x" * 100_000)
                    await client.writer.drain()
                    sent += 100_000
        assert sent < 20_000_000, "only the sockets' buffers and one window are filled"


async def test_a_client_that_is_slow_makes_its_writer_wait() -> None:
    app = App()
    async with serving(app) as (_, port), connected(port) as client:
        client.send(head(path="/endless"))
        await asyncio.sleep(0.3)
        written = app.written
        await asyncio.sleep(0.2)
        assert app.written == written, "it stands still"
        assert written < 20_000_000
        assert written > WRITE_WINDOW


# --- what ends early ----------------------------------------------------------------------------------------


async def test_an_answer_cut_in_the_middle_is_seen_to_be() -> None:
    async with serving(App()) as (_, port):
        answer = await ask(port, path="/cut")
        assert (answer.body, answer.complete) == (b"begun", False)
        async with connected(port) as client:
            client.send(b"GET /cut HTTP/1.0\r\n\r\n")
            assert not (await client.answer()).complete, "a clean end would hide it from an old client"


async def test_no_answer_at_all_ends_the_connection() -> None:
    async with serving(App()) as (_, port), connected(port) as client:
        client.send(head(path="/nothing"))
        with pytest.raises(EOFError):
            await client.answer()


@pytest.mark.parametrize("path", ["/slow", "/read", "/endless"])
async def test_a_client_that_leaves_ends_its_request_at_once(path: str) -> None:
    app = App()
    async with serving(app) as (_, port):
        async with connected(port) as client:
            client.send(head("POST", path, Content_Length=10))
            await asyncio.sleep(0.1)
            assert len(app.requests) == 1
        started = time.monotonic()
        async with asyncio.timeout(1):
            while not (app.cancelled.is_set() or app.requests[0].response.status == 400):
                await asyncio.sleep(0.001)
        assert time.monotonic() - started < 0.2


async def test_requests_sent_ahead_by_a_client_that_left_are_not_begun() -> None:
    app = App()
    async with serving(app) as (_, port):
        async with connected(port) as client:
            client.send(head(path="/slow") + head(path="/2"))
            await app.going.wait()
        async with asyncio.timeout(1):
            await app.cancelled.wait()
        await asyncio.sleep(0.05)
    assert app.paths == [b"/slow"]


# --- what is refused ----------------------------------------------------------------------------------------

MALFORMED = {
    "two framings": head("POST", Content_Length=3, Transfer_Encoding="chunked") + b"0\r\n\r\n",
    "two framings, turned": head("POST", Transfer_Encoding="chunked", Content_Length=3) + b"0\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a signed length": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc",
    "a list of lengths": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\nabc",
    "a huge length": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "another coding": b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
    "a space before a colon": b"GET / HTTP/1.1\r\nHost: h\r\nX : a\r\n\r\n",
    "a bare line feed": b"GET / HTTP/1.1\nHost: h\n\n",
    "a bare carriage return": b"GET / HTTP/1.1\r\nHost: h\rX: a\r\n\r\n",
    "a NUL in a header": b"GET / HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
    "a control character": b"GET /a\x01b HTTP/1.1\r\nHost: h\r\n\r\n",
    "no target": b"GET HTTP/1.1\r\nHost: h\r\n\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    "a tunnel": b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n",
    "no such method": b"FOO / HTTP/1.1\r\nHost: h\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\nHost: h\r\n\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\nHost: h\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_requests_are_refused_and_nothing_after_them_is_read(name: str) -> None:
    app = App()
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
    async with serving(app) as (_, port), connected(port) as client:
        client.send(MALFORMED[name] + smuggled)
        answer = await client.answer()
        assert answer.status == 400
        assert json.loads(answer.body)["code"] == "request-invalid"
        assert answer.headers["connection"] == "close"
        assert await client.ended()
    assert b"/smuggled" not in app.paths


async def test_a_refusal_waits_for_its_turn() -> None:
    app = App()
    async with serving(app) as (_, port), connected(port) as client:
        client.send(head(path="/slow") + b"nonsense\r\n\r\n" + GET)
        await app.going.wait()
        app.go_on.set()
        assert (await client.answer()).status == 200
        assert (await client.answer()).status == 400
        assert await client.ended()
    assert app.paths == [b"/slow"]
    assert len(app.refusals) == 1


async def test_a_malformed_chunk_is_told_to_who_reads() -> None:
    app = App()
    async with serving(app) as (_, port), connected(port) as client:
        client.send(head("POST", "/read", Transfer_Encoding="chunked") + b"3\r\nabc\r\nzz\r\n")
        answer = await client.answer()
        assert answer.status == 400
        assert await client.ended()


async def test_a_malformed_chunk_that_nobody_reads_ends_the_connection() -> None:
    app = App()
    async with serving(app) as (_, port), connected(port) as client:
        client.send(head("POST", "/slow", Transfer_Encoding="chunked") + b"zz\r\n" + GET)
        await app.going.wait()
        app.go_on.set()
        assert (await client.answer()).status == 200
        assert await client.ended()
    assert app.paths == [b"/slow"]


@pytest.mark.parametrize("flood", ["one header", "one name", "one target", "many headers"])
async def test_heads_that_are_too_large_are_refused(flood: str) -> None:
    app = App()
    size = 3 * MAX_HEAD
    lines = {
        "one header": b"GET / HTTP/1.1\r\nHost: h\r\nx: " + b"y" * size,
        "one name": b"GET / HTTP/1.1\r\nHost: h\r\n" + b"x" * size,
        "one target": b"GET /" + b"x" * size,
        "many headers": b"GET / HTTP/1.1\r\nHost: h\r\n" + b"x: y\r\n" * (MAX_HEADERS + 1),
    }
    async with serving(app) as (_, port), connected(port) as client:
        client.send(lines[flood])
        answer = await client.answer()
        assert answer.status == 431
        assert json.loads(answer.body)["code"] == "headers-too-large"
    assert app.requests == []


async def test_as_many_headers_as_are_allowed() -> None:
    async with serving(App()) as (_, port):
        headers: dict[str, str | int] = {f"X_{number}": "y" * 400 for number in range(MAX_HEADERS - 2)}
        assert (await ask(port, **headers)).status == 200


# --- other protocols ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("close", [False, True])
async def test_an_offer_to_upgrade_is_passed_over(close: bool) -> None:
    app = App()
    offer = {"Upgrade": "h2c", "HTTP2_Settings": "AAMAAABk"}
    connection = "Upgrade, HTTP2-Settings" + (", close" if close else "")
    async with serving(app) as (_, port), connected(port) as client:
        client.send(head("POST", "/read", Connection=connection, Content_Length=3, **offer) + b"abc")
        assert (await client.answer()).status == 200
        if close:
            assert await client.ended()
        else:
            client.send(head(path="/next", Connection="Upgrade", Upgrade="websocket") + head(path="/last"))
            assert (await client.answer()).status == 200
            assert (await client.answer()).status == 200
    assert app.bodies == [b"abc"]
    assert app.paths == ([b"/read"] if close else [b"/read", b"/next", b"/last"])


async def test_an_offer_to_upgrade_with_a_chunked_body() -> None:
    app = App()
    async with serving(app) as (_, port), connected(port) as client:
        client.send(head("POST", "/read", Connection="Upgrade", Upgrade="h2c", Transfer_Encoding="chunked"))
        await asyncio.sleep(0.02)
        client.send(b"3\r\nabc\r\n0\r\n\r\n" + GET)
        assert (await client.answer()).status == 200
        assert (await client.answer()).status == 200
    assert app.bodies == [b"abc"]


# --- time and numbers ---------------------------------------------------------------------------------------


async def test_a_connection_that_sends_no_head_is_closed() -> None:
    async with serving(App(), header_timeout_ms=200.0) as (_, port):
        for beginning in (b"", b"GET / HTTP/1.1\r\nHos"):
            async with connected(port) as client:
                client.send(beginning)
                started = time.monotonic()
                assert await client.ended()
                assert 0.1 < time.monotonic() - started < 1.5
        async with connected(port) as client:
            client.send(GET)
            assert (await client.answer()).status == 200
            assert await client.ended(), "an idle connection is closed as well"


async def test_a_head_that_drips_is_not_waited_for_longer() -> None:
    async with serving(App(), header_timeout_ms=300.0) as (_, port), connected(port) as client:
        started = time.monotonic()
        dripping = asyncio.create_task(drip(client.writer))
        assert await client.ended()
        assert time.monotonic() - started < 1.5
        dripping.cancel()


async def drip(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"G" if writer.transport.get_write_buffer_size() else b"\r\n")
        await asyncio.sleep(0.05)


async def test_a_request_under_way_is_never_idle() -> None:
    app = App()
    async with serving(app, header_timeout_ms=100.0) as (_, port), connected(port) as client:
        client.send(head(path="/slow"))
        await asyncio.sleep(0.5)
        app.go_on.set()
        assert (await client.answer()).status == 200


async def test_connections_beyond_the_bound_are_closed() -> None:
    async with serving(App(), connections=2) as (_, port), connected(port) as one, connected(port) as two:
        for client in (one, two):
            client.send(GET)
            assert (await client.answer()).status == 200
        async with connected(port) as three:
            assert await three.ended()
        two.send(GET)
        assert (await two.answer()).status == 200


# --- stopping -----------------------------------------------------------------------------------------------


async def test_stopping_finishes_what_runs_and_closes_what_is_idle() -> None:
    app = App()
    async with serving(app) as (server, port), connected(port) as slow, connected(port) as idle:
        idle.send(GET)
        assert (await idle.answer()).status == 200
        slow.send(head(path="/slow") + head(path="/ahead"))
        await app.going.wait()
        server.stop()
        assert await idle.ended()
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", port)
        app.go_on.set()
        answer = await slow.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await slow.ended()
        await asyncio.wait_for(server.wait(), 1)


async def test_while_closing_each_answer_ends_its_connection() -> None:
    async with serving(App()) as (server, port), connected(port) as client:
        client.send(GET)
        assert "connection" not in (await client.answer()).headers
        server.close_connections()
        client.send(GET)
        assert (await client.answer()).headers["connection"] == "close"
        assert await client.ended()


async def test_a_client_that_was_not_told_may_ask_once_more() -> None:
    app = App()
    async with serving(app) as (server, port), connected(port) as one, connected(port) as other:
        for client in (one, other):
            client.send(head(path="/begun"))
        async with asyncio.timeout(5):
            while len(app.requests) < 2:
                await asyncio.sleep(0.01)
        server.stop()
        app.go_on.set()
        for client in (one, other):
            answer = await client.answer()
            assert answer.body == b"begun"
            assert "connection" not in answer.headers
        one.send(GET)
        assert (await one.answer()).headers["connection"] == "close"
        assert await other.ended()


async def test_two_servers_take_turns_on_one_inherited_socket() -> None:
    """A replacement serves the connections that came while nobody accepted."""
    listener, app = listening(), App()
    port, kept = listener.getsockname()[1], listener.dup()
    first = HttpServer(app, app.refused, listener, header_timeout_ms=1000, connections=10)
    await first.start()
    assert (await ask(port)).status == 200
    first.stop()
    await first.wait()
    first.abort()
    waiting = asyncio.create_task(ask(port))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    second = HttpServer(app, app.refused, kept, header_timeout_ms=1000, connections=10)
    await second.start()
    assert (await waiting).status == 200
    second.stop()
    await second.wait()
    second.abort()


# --- anything at all ----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(
                [
                    GET,
                    b"POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
                    b"POST /read HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
                    b"3\r\nabc\r\n",
                    b"0\r\n\r\n",
                    b"\r\n",
                    b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
                    b"GET / HTTP/1.1\r\nHost: h\r\n",
                ]
            ),
        ),
        max_size=8,
    )
)
def test_whatever_comes_the_server_lives(parts: list[bytes]) -> None:
    async def check() -> Answer:
        async with serving(App()) as (_, port):
            async with connected(port) as client:
                for part in parts:
                    client.send(part)
                    await asyncio.sleep(0)
            return await ask(port)

    assert asyncio.run(check()).status == 200
