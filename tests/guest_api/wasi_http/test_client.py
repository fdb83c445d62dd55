"""Requests to backends, against real servers."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from wasmind.component.abi.values import Err
from wasmind.errors import ConfigError
from wasmind.guest_api.wasi.p2.streams import InputStream
from wasmind.guest_api.wasi_http.bodies import IncomingBody, OutgoingBody
from wasmind.guest_api.wasi_http.client import CONNECTIONS, Client, Outgoing
from wasmind.guest_api.wasi_http.fields import Fields
from wasmind.guest_api.wasi_http.messages import (
    FutureResponse,
    IncomingResponse,
    OutgoingRequest,
    RequestOptions,
)
from wasmind.guest_api.wasi_http.origin import Origin, backend, origin_of

Handle = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
SECOND = 1_000_000_000


@asynccontextmanager
async def serving(handle: Handle, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that gives each request's head to `handle`; its port."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handle(await reader.readuntil(b"\r\n\r\n"), reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def outgoing(*backends: str, limit: int = 32) -> AsyncIterator[Outgoing]:
    client = Client(backends)
    made = Outgoing(client, limit)
    try:
        yield made
    finally:
        made.close()
        await client.close()


def request(
    authority: str, path: str | None = "/", scheme: Any = "HTTP", *headers: tuple[str, bytes]
) -> OutgoingRequest:
    fields = Fields.from_list(headers)
    assert isinstance(fields, Fields)
    made = OutgoingRequest(fields)
    made.scheme, made.authority, made.path_with_query = scheme, authority, path
    return made


async def answer(sent: FutureResponse | Err[Any]) -> IncomingResponse | Any:
    """The response, or the error code."""
    if isinstance(sent, Err):
        return sent.value
    await asyncio.wait((sent.future,), timeout=10)
    found = sent.future.result()
    return found.value if isinstance(found, Err) else found


async def body(response: IncomingResponse) -> tuple[bytes, Any]:
    """The body, and the error code it ended with."""
    incoming = response.consume()
    assert isinstance(incoming, IncomingBody)
    stream = incoming.stream()
    assert isinstance(stream, InputStream)
    data = b""
    while not isinstance(part := await stream.take_later(1 << 20), Err):
        data += part
    failed = part.value
    return data, None if failed == "closed" else failed[1].detail


async def hello(head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX-Seen: %d\r\nContent-Length: 5\r\n\r\nhello" % len(head))
    await writer.drain()


# --- whom a function may reach ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("api.example.com", Origin("https", "api.example.com", 443)),
        ("API.example.com:8443", Origin("https", "api.example.com", 8443)),
        ("http://10.0.0.7:9000", Origin("http", "10.0.0.7", 9000)),
        ("http://localhost/", Origin("http", "localhost", 80)),
        ("https://[::1]:4433", Origin("https", "[::1]", 4433)),
    ],
)
def test_backends(text: str, origin: Origin) -> None:
    assert backend(text) == origin


@pytest.mark.parametrize(
    "text", ["", "ftp://x", "http://", "a b", "x:0", "x:65536", "http://user@x", "http://x/path", "*"]
)
def test_what_is_no_backend(text: str) -> None:
    with pytest.raises(ConfigError, match="is no backend"):
        backend(text)


@pytest.mark.parametrize(
    ("scheme", "authority", "origin"),
    [
        ("http", "Example.com", Origin("http", "example.com", 80)),
        ("https", "example.com:1", Origin("https", "example.com", 1)),
        ("http", "[::1]", Origin("http", "[::1]", 80)),
        ("http", "[::1]:8080", Origin("http", "[::1]", 8080)),
        ("ftp", "example.com", None),
        ("http", "example.com:99999", None),
        ("http", ":80", None),
    ],
)
def test_origins(scheme: str, authority: str, origin: Origin | None) -> None:
    assert origin_of(scheme, authority) == origin


def test_origins_as_text() -> None:
    assert str(Origin("https", "a", 443)) == "https://a"
    assert str(Origin("http", "a", 8080)) == "http://a:8080"


async def test_everybody_else_is_refused_and_the_log_says_why() -> None:
    async with serving(hello) as port, outgoing(f"http://127.0.0.1:{port}") as out:
        notes: list[str] = []
        for authority, scheme in (
            (f"localhost:{port}", "HTTP"),
            (f"127.0.0.1:{port + 1}", "HTTP"),
            (f"127.0.0.1:{port}", "HTTPS"),
            (f"127.0.0.1:{port}", None),
            (f"127.0.0.1:{port}", ("other", "gopher")),
        ):
            sent = out.send(request(authority, scheme=scheme), RequestOptions(), notes.append)
            assert sent == Err("HTTP-request-denied")
        assert len(notes) == 5
        assert f"the function's backends are http://127.0.0.1:{port}" in notes[0]


async def test_without_backends_nobody_is_reached() -> None:
    async with outgoing() as out:
        notes: list[str] = []
        assert out.send(request("example.com"), RequestOptions(), notes.append) == Err("HTTP-request-denied")
        assert notes[0].endswith("backends are none")
        assert out.send(OutgoingRequest(Fields()), RequestOptions(), notes.append) == Err(
            "HTTP-request-URI-invalid"
        )


async def test_so_many_requests_in_one_run() -> None:
    async with serving(hello) as port, outgoing(f"http://127.0.0.1:{port}", limit=2) as out:
        notes: list[str] = []
        here = f"127.0.0.1:{port}"
        for _ in range(2):
            assert (await answer(out.send(request(here), RequestOptions(), notes.append))).status == 200
        assert out.send(request(here), RequestOptions(), notes.append) == Err("connection-limit-reached")
        assert "a run may send 2" in notes[0]


# --- what is sent and received ------------------------------------------------------------------------------


async def test_a_request_and_its_response() -> None:
    heads: list[bytes] = []

    async def handle(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        await hello(head, reader, writer)

    async with serving(handle) as port, outgoing(f"http://127.0.0.1:{port}") as out:
        sent = out.send(
            request(f"127.0.0.1:{port}", "/a%20b?c=d&e", "HTTP", ("X-Mine", b"1"), ("x-mine", b"2")),
            RequestOptions(),
            print,
        )
        response = await answer(sent)
        assert response.status == 200
        assert response.headers.has("x-seen")
        assert await body(response) == (b"hello", None)
    head = heads[0].decode().split("\r\n")
    assert head[0] == "GET /a%20b?c=d&e HTTP/1.1"
    assert [line for line in head if line.startswith("x-mine")] == ["x-mine: 1", "x-mine: 2"]
    assert f"host: 127.0.0.1:{port}" in [line.lower() for line in head]
    assert len([line for line in head if line.lower().startswith("host:")]) == 1
    assert not any(line.lower().startswith(("cookie", "user-agent", "accept-encoding")) for line in head)


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("//elsewhere.invalid/x", "GET //elsewhere.invalid/x HTTP/1.1"),
        ("/../..//a", "GET /../..//a HTTP/1.1"),
        ("?q", "GET /?q HTTP/1.1"),
        ("/%2e%2E/%zz?%20[x]|", "GET /%2e%2E/%zz?%20[x]| HTTP/1.1"),
        ("/@elsewhere.invalid:1/", "GET /@elsewhere.invalid:1/ HTTP/1.1"),
        (None, "GET / HTTP/1.1"),
    ],
)
async def test_a_path_stays_a_path_of_its_backend(target: str | None, line: str) -> None:
    seen: list[bytes] = []

    async def handle(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(head)
        await hello(head, reader, writer)

    async with serving(handle) as port, outgoing(f"http://127.0.0.1:{port}") as out:
        made = request(f"127.0.0.1:{port}")
        assert made.set_path_with_query(target) is None
        assert (await answer(out.send(made, RequestOptions(), print))).status == 200
    assert seen[0].decode().split("\r\n")[0] == line


@pytest.mark.parametrize(
    ("method", "line"), [("post", "POST"), ("options", "OPTIONS"), (("other", "PROPFIND"), "PROPFIND")]
)
async def test_methods(method: Any, line: str) -> None:
    seen: list[bytes] = []

    async def handle(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(head)
        await hello(head, reader, writer)

    async with serving(handle) as port, outgoing(f"http://127.0.0.1:{port}") as out:
        made = request(f"127.0.0.1:{port}", None)
        made.set_method(method)
        assert (await answer(out.send(made, RequestOptions(), print))).status == 200
    assert seen[0].startswith(f"{line} / HTTP/1.1\r\n".encode())


async def read_body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    lower = head.lower()
    if b"content-length:" in lower:
        return await reader.readexactly(int(lower.split(b"content-length:")[1].split(b"\r\n")[0]))
    data = b""
    while size := int(await reader.readline(), 16):
        data += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return data


@pytest.mark.parametrize("length", [None, 6])
async def test_a_body_is_streamed_as_it_is_written(length: int | None) -> None:
    received: list[bytes] = []

    async def handle(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await read_body(head, reader))
        await hello(head, reader, writer)

    headers = [] if length is None else [("content-length", b"%d" % length)]
    async with serving(handle) as port, outgoing(f"http://127.0.0.1:{port}") as out:
        made = request(f"127.0.0.1:{port}", "/", "HTTP", *headers)
        made.set_method("post")
        outgoing_body = made.body()
        assert isinstance(outgoing_body, OutgoingBody)
        sent = out.send(made, RequestOptions(), print)
        stream = outgoing_body.write()
        assert not isinstance(stream, Err)
        stream.write(b"one")
        stream.flush()
        await asyncio.sleep(0.005)
        stream.write(b"two")
        stream.close()
        assert outgoing_body.finish(None) is None
        assert (await answer(sent)).status == 200
    assert received == [b"onetwo"]


async def test_a_body_given_up() -> None:
    async def handle(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_body(head, reader)
        await hello(head, reader, writer)

    async with serving(handle) as port, outgoing(f"http://127.0.0.1:{port}") as out:
        made = request(f"127.0.0.1:{port}")
        outgoing_body = made.body()
        assert isinstance(outgoing_body, OutgoingBody)
        sent = out.send(made, RequestOptions(), print)
        outgoing_body.drop()
        assert await answer(sent) == "connection-terminated"


async def test_redirects_and_cookies_are_the_guests_business() -> None:
    heads: list[bytes] = []

    async def handle(head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        writer.write(
            b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nSet-Cookie: a=b\r\nConnection: close\r\n"
            b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nraw"
        )
        await writer.drain()

    async with serving(handle) as port, outgoing(f"http://127.0.0.1:{port}") as out:
        for _ in range(2):
            response = await answer(out.send(request(f"127.0.0.1:{port}"), RequestOptions(), print))
            assert response.status == 302
            assert response.headers.get("set-cookie") == [b"a=b"]
            assert not response.headers.has("connection")
            assert await body(response) == (b"raw", None)
    assert len(heads) == 2
    assert b"cookie" not in heads[1].lower()


async def test_a_response_in_parts() -> None:
    async def handle(_head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await writer.drain()
        await asyncio.sleep(0.005)
        writer.write(b"2\r\nde\r\n0\r\n\r\n")
        await writer.drain()

    async with serving(handle) as port, outgoing(f"http://127.0.0.1:{port}") as out:
        response = await answer(out.send(request(f"127.0.0.1:{port}"), RequestOptions(), print))
        assert not response.headers.has("transfer-encoding")
        assert await body(response) == (b"abcde", None)


# --- what goes wrong ----------------------------------------------------------------------------------------


async def test_a_response_that_breaks_off() -> None:
    async def handle(_head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await writer.drain()

    async with serving(handle) as port, outgoing(f"http://127.0.0.1:{port}") as out:
        response = await answer(out.send(request(f"127.0.0.1:{port}"), RequestOptions(), print))
        data, code = await body(response)
        assert data == b"abc"
        assert code in ("HTTP-protocol-error", "connection-terminated")


@pytest.mark.parametrize("answer_with", [b"", b"nonsense\r\n\r\n"])
async def test_a_server_that_speaks_no_http(answer_with: bytes) -> None:
    async def handle(_head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer_with)
        await writer.drain()

    async with serving(handle) as port, outgoing(f"http://127.0.0.1:{port}") as out:
        code = await answer(out.send(request(f"127.0.0.1:{port}"), RequestOptions(), print))
        assert code in ("HTTP-protocol-error", "connection-terminated")


async def test_nobody_listens() -> None:
    async with serving(hello) as port:
        pass
    async with outgoing(f"http://127.0.0.1:{port}") as out:
        assert (
            await answer(out.send(request(f"127.0.0.1:{port}"), RequestOptions(), print))
            == "connection-refused"
        )


async def test_a_name_that_does_not_exist() -> None:
    async with outgoing("http://nowhere.invalid") as out:
        code = await answer(out.send(request("nowhere.invalid"), RequestOptions(), print))
        assert code[0] == "DNS-error"


async def test_a_server_that_never_answers() -> None:
    async def handle(_head: bytes, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    options = RequestOptions()
    options.first_byte = SECOND // 50
    async with serving(handle) as port, outgoing(f"http://127.0.0.1:{port}") as out:
        assert await answer(out.send(request(f"127.0.0.1:{port}"), options, print)) == "HTTP-response-timeout"


async def test_a_server_that_stalls_in_its_body() -> None:
    async def handle(_head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await writer.drain()
        await reader.read()

    options = RequestOptions()
    options.between_bytes = SECOND // 50
    async with serving(handle) as port, outgoing(f"http://127.0.0.1:{port}") as out:
        response = await answer(out.send(request(f"127.0.0.1:{port}"), options, print))
        assert await body(response) == (b"abc", "connection-read-timeout")


async def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 "
        f"-subj /CN=localhost -keyout {key} -out {certificate}".split(),
        check=True,
        capture_output=True,
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    async with serving(hello, tls) as port, outgoing(f"127.0.0.1:{port}") as out:
        code = await answer(out.send(request(f"127.0.0.1:{port}", scheme="HTTPS"), RequestOptions(), print))
        assert code == "TLS-certificate-error"


async def test_responses_that_nobody_reads_hold_no_connections() -> None:
    async def handle(_head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nthe beginning")
        await writer.drain()
        await reader.read()

    async with serving(handle) as port:
        client = Client((f"http://127.0.0.1:{port}",))
        for _ in range(CONNECTIONS + 10):
            run = Outgoing(client, 1)
            options = RequestOptions()
            options.connect = 5 * SECOND
            assert (await answer(run.send(request(f"127.0.0.1:{port}"), options, print))).status == 200
            run.close()
        await client.close()


async def test_the_end_of_a_run_ends_its_requests() -> None:
    arrived, left = asyncio.Event(), asyncio.Event()

    async def handle(_head: bytes, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await reader.read()
        left.set()

    async with serving(handle) as port, outgoing(f"http://127.0.0.1:{port}") as out:
        sent = out.send(request(f"127.0.0.1:{port}"), RequestOptions(), print)
        await asyncio.wait_for(arrived.wait(), 5)
        out.close()
        await asyncio.wait_for(left.wait(), 5)
        assert isinstance(sent, FutureResponse)
        assert sent.future.cancelled()
