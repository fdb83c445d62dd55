"""The gRPC server over real sockets: grpcio as its client, and one that breaks the protocol."""

from __future__ import annotations

import asyncio
import gzip
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("hpack", reason="hpack is not installed")
grpc = pytest.importorskip("grpc", reason="grpcio is not installed")

import hpack  # noqa: E402 - it may be missing

from wasmind.httpd import frames, http2  # noqa: E402 - it needs hpack
from wasmind.httpd import grpc as wire  # noqa: E402 - it needs hpack
from wasmind.httpd.grpc_call import Call, Refused  # noqa: E402 - the server needs hpack
from wasmind.httpd.grpc_server import GrpcServer  # noqa: E402 - it needs hpack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MOST = 3 << 20
PATIENCE_S = 20.0


class App:
    """Answers by the method's name, and remembers what it met."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.running = self.cancelled = 0
        self.go_on = asyncio.Event()

    def begin(self, call: Call) -> None:
        self.calls.append(call)
        self.running += 1
        if call.path == "/test/Closed":
            raise Refused(16, "no token: 100 % sure\n")

    def end(self, call: Call) -> None:
        self.running -= 1

    async def answer(self, call: Call) -> bytes:
        match call.path:
            case "/test/Echo":
                return call.message(MOST)
            case "/test/Large":
                return bytes(int(call.message(MOST)))
            case "/test/Wait":
                try:
                    await self.go_on.wait()
                except asyncio.CancelledError:
                    self.cancelled += 1
                    raise
                return b"waited"
        raise Refused(12, f"no {call.path}")


class Served:
    def __init__(self, app: App, server: GrpcServer, port: int) -> None:
        self.app, self.server, self.port = app, server, port


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[Served]:
    listener = socket.create_server(("127.0.0.1", 0))
    app = App()
    chosen = {"most": MOST, "streams": 100, "connections": 10, "head_s": 5.0, "stall_s": 5.0} | settings
    server = GrpcServer(app, listener, **chosen)
    await server.start()
    try:
        yield Served(app, server, listener.getsockname()[1])
    finally:
        await server.stop(0.5)
        assert app.running == 0


@asynccontextmanager
async def channel(port: int, **options: Any) -> AsyncIterator[Any]:
    pairs = [(f"grpc.{name}", value) for name, value in {"max_receive_message_length": -1, **options}.items()]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=pairs) as made:
        yield made


async def until(holds: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.005)


# --- grpcio -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 16_379, 16_380, 70_000, 2_500_000])
async def test_messages_both_ways(size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    async with serving() as served, channel(served.port) as client:
        assert await client.unary_unary("/test/Echo")(data) == data


async def test_many_calls_of_one_connection() -> None:
    async with serving() as served, channel(served.port) as client:
        call = client.unary_unary("/test/Echo")
        for _ in range(5):
            answers = await asyncio.gather(*(call(b"%d" % number) for number in range(60)))
            assert answers == [b"%d" % number for number in range(60)]
        await until(lambda: not served.app.running)


async def test_calls_beyond_the_streams_of_a_connection_wait_at_the_client() -> None:
    async with serving(streams=4) as served, channel(served.port) as client:
        call = client.unary_unary("/test/Echo")
        assert len(await asyncio.gather(*(call(b"x") for _ in range(40)))) == 40


async def test_an_answer_larger_than_the_clients_windows() -> None:
    async with serving() as served, channel(served.port) as client:
        call = client.unary_unary("/test/Large")
        answers = await asyncio.gather(*(call(b"1000000") for _ in range(3)))
        assert [len(answer) for answer in answers] == [1_000_000] * 3


async def test_a_refusal_before_the_message_and_one_after() -> None:
    async with serving() as served, channel(served.port) as client:
        for method, code, words in (
            ("/test/Closed", grpc.StatusCode.UNAUTHENTICATED, "no token: 100 % sure\n"),
            ("/test/Other", grpc.StatusCode.UNIMPLEMENTED, "no /test/Other"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await client.unary_unary(method)(bytes(100_000))
            assert (refused.value.code(), refused.value.details()) == (code, words)
        assert await client.unary_unary("/test/Echo")(b"x") == b"x"


async def test_metadata_reach_the_application() -> None:
    async with serving() as served, channel(served.port) as client:
        for token in ("a", "b", "a"):
            await client.unary_unary("/test/Echo")(b"", metadata=(("authorization", token),))
        assert [call.header(b"authorization") for call in served.app.calls] == ["a", "b", "a"]


async def test_a_deadline_ends_the_call_on_the_server() -> None:
    async with serving() as served, channel(served.port) as client:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.unary_unary("/test/Wait")(b"", timeout=0.2)
        assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: served.app.cancelled == 1)


async def test_a_call_that_is_cancelled_is_cancelled_on_the_server() -> None:
    async with serving() as served, channel(served.port) as client:
        call = client.unary_unary("/test/Wait")(b"")
        waiting = asyncio.ensure_future(call)
        await until(lambda: served.app.running)
        waiting.cancel()
        await until(lambda: served.app.cancelled == 1)
        assert await client.unary_unary("/test/Echo")(b"x") == b"x"


async def test_a_client_that_leaves_cancels_its_calls() -> None:
    async with serving() as served:
        async with channel(served.port) as client:
            waiting = asyncio.ensure_future(client.unary_unary("/test/Wait")(b""))
            await until(lambda: served.app.running)
        await until(lambda: served.app.cancelled == 1)
        await asyncio.wait({waiting})


@pytest.mark.parametrize("coding", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_compressed_messages(coding: Any) -> None:
    async with serving() as served, channel(served.port) as client:
        assert await client.unary_unary("/test/Echo")(bytes(100_000), compression=coding) == bytes(100_000)


async def test_a_message_that_is_too_large() -> None:
    async with serving() as served, channel(served.port) as client:
        for options in ({}, {"compression": grpc.Compression.Gzip}):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await client.unary_unary("/test/Echo")(bytes(MOST + 1), **options)
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_stop_lets_calls_finish() -> None:
    async with serving() as served, channel(served.port) as client:
        waiting = asyncio.ensure_future(client.unary_unary("/test/Wait")(b""))
        await until(lambda: served.app.running)
        stopping = asyncio.ensure_future(served.server.stop(PATIENCE_S))
        await asyncio.sleep(0.05)
        served.app.go_on.set()
        assert await waiting == b"waited"
        assert await stopping == 0


async def test_a_stop_cuts_what_does_not_finish() -> None:
    async with serving() as served, channel(served.port) as client:
        waiting = asyncio.ensure_future(client.unary_unary("/test/Wait")(b""))
        await until(lambda: served.app.running)
        assert await served.server.stop(0.05) == 1
        with pytest.raises(grpc.aio.AioRpcError):
            await waiting


# --- frame by frame ---------------------------------------------------------------------------------------


class Raw:
    """A client that sends frames as it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()

    def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))

    def head(self, stream: int, flags: int = 4, **headers: str) -> bytes:
        chosen = {":method": "POST", ":path": "/test/Echo", "content-type": "application/grpc"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return frames.frame(frames.HEADERS, flags, stream, self.encoder.encode(list(chosen.items())))

    async def next(self) -> tuple[int, int, int, bytes]:
        head = await asyncio.wait_for(self.reader.readexactly(9), PATIENCE_S)
        payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
        return head[3], head[4], int.from_bytes(head[5:], "big"), payload

    async def first(self, kind: int) -> tuple[int, int, int, bytes]:
        """The next frame of a kind."""
        while (found := await self.next())[0] != kind:
            pass
        return found

    async def ends_with(self, code: int) -> None:
        """The server says goodbye with this code, and closes."""
        _, _, _, payload = await self.first(frames.GOAWAY)
        assert int.from_bytes(payload[4:8], "big") == code
        assert await asyncio.wait_for(self.reader.read(), PATIENCE_S) is not None


@asynccontextmanager
async def raw(port: int, *, greet: bool = True) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = Raw(reader, writer)
    if greet:
        client.send(frames.PREFACE, frames.settings({}))
    try:
        yield client
    finally:
        writer.close()


def message(data: bytes, flag: int = 0) -> bytes:
    return bytes((flag,)) + len(data).to_bytes(4, "big") + data


def data(stream: int, payload: bytes, flags: int = 1) -> bytes:
    return frames.frame(frames.DATA, flags, stream, payload)


async def test_a_call_frame_by_frame() -> None:
    async with serving() as served, raw(served.port) as client:
        client.send(client.head(1), data(1, message(b"hello")[:3], 0), data(1, message(b"hello")[3:]))
        _, flags, stream, block = await client.first(frames.HEADERS)
        assert (flags, stream) == (frames.END_HEADERS, 1)
        assert dict(client.decoder.decode(block))[":status"] == "200"
        assert (await client.next())[3] == message(b"hello")
        _, flags, _, block = await client.next()
        assert flags == frames.END_HEADERS | frames.END_STREAM
        assert dict(client.decoder.decode(block)) == {"grpc-status": "0"}


async def status(client: Raw) -> tuple[str, str]:
    """The status and words of the next answer without a message."""
    told = dict(client.decoder.decode((await client.first(frames.HEADERS))[3]))
    return told.get("grpc-status", told[":status"]), told.get("grpc-message", "")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        message(b"x")[:4],
        message(b"x") + b"y",
        message(b"x") * 2,
        b"\0\xff\xff\xff\xff",
        message(gzip.compress(b"x", mtime=0)[:-1], 1),
        message(b"no gzip", 1),
    ],
)
async def test_what_is_no_message(body: bytes) -> None:
    async with serving() as served, raw(served.port) as client:
        client.send(client.head(1, grpc_encoding="gzip"), data(1, body))
        assert (await status(client))[0] == "3"


async def test_a_bomb() -> None:
    async with serving() as served, raw(served.port) as client:
        bomb = message(gzip.compress(bytes(MOST + 1)), 1)
        client.send(client.head(1, grpc_encoding="gzip"), data(1, bomb[:16_000], 0), data(1, bomb[16_000:]))
        assert (await status(client))[0] == "8"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"grpc_encoding": "br"}, "12"),
        ({"grpc_timeout": "soon"}, "3"),
        ({":path": "/test/Wait", "grpc_timeout": "1m"}, "4"),
        ({":path": "/nothing"}, "12"),
        ({"content_type": "text/plain"}, "415"),
        ({":method": "GET"}, "415"),
    ],
)
async def test_headers_that_are_refused(headers: dict[str, str], code: str) -> None:
    async with serving() as served, raw(served.port) as client:
        chosen = {
            "content-type" if name == "content_type" else name: value for name, value in headers.items()
        }
        client.send(client.head(1, **chosen), data(1, message(b"x", 1 if "grpc_encoding" in headers else 0)))
        assert (await status(client))[0] == code


async def test_headers_in_parts_with_padding_and_priority() -> None:
    async with serving() as served, raw(served.port) as client:
        block = client.head(1)[9:]
        padded = b"\x02" + bytes(5) + block[:7] + b"\0\0"
        client.send(
            frames.frame(frames.HEADERS, frames.PADDED | frames.HAS_PRIORITY, 1, padded),
            frames.frame(frames.CONTINUATION, 0, 1, block[7:9]),
            frames.frame(frames.CONTINUATION, frames.END_HEADERS, 1, block[9:]),
            frames.frame(frames.DATA, frames.PADDED | 1, 1, b"\x03" + message(b"x") + bytes(3)),
        )
        await client.first(frames.HEADERS)
        assert (await client.next())[3] == message(b"x")


async def test_pings_and_settings_are_answered() -> None:
    async with serving() as served, raw(served.port) as client:
        client.send(frames.frame(frames.PING, 0, 0, b"12345678"))
        assert await client.first(frames.PING) == (frames.PING, frames.ACK, 0, b"12345678")


async def test_an_answer_waits_for_its_windows() -> None:
    async with serving() as served, raw(served.port) as client:
        client.send(
            frames.settings({frames.WINDOW_SETTING: 10}), client.head(1), data(1, message(b"0123456789abc"))
        )
        assert (await client.first(frames.DATA))[3] == message(b"0123456789abc")[:10]
        client.send(frames.window_update(1, 3))
        assert (await client.first(frames.DATA))[3] == message(b"0123456789abc")[10:13]
        client.send(frames.settings({frames.WINDOW_SETTING: 100}))
        assert (await client.first(frames.DATA))[3] == message(b"0123456789abc")[13:]
        assert (await client.first(frames.HEADERS))[1] == 5


HEAD = b"\x83\x04\x0a/test/Echo\x0f\x10\x10application/grpc"
"""A call's headers, without the encoder's state: POST, the path, the content type."""


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\0\0\0\x00\x00\0\0\0\0", frames.PROTOCOL_ERROR),  # data of no stream
        (data(1, b"x"), frames.PROTOCOL_ERROR),  # of one that never was
        (frames.frame(frames.HEADERS, 5, 2, HEAD), frames.PROTOCOL_ERROR),  # a server's number
        (
            frames.frame(frames.HEADERS, 5, 3, HEAD) + frames.frame(frames.HEADERS, 5, 1, HEAD),
            frames.PROTOCOL_ERROR,
        ),
        (frames.frame(frames.HEADERS, 5, 1, b"\xff\xff\xff\xff\xff\xff\xff"), frames.COMPRESSION_ERROR),
        (frames.frame(frames.HEADERS, 5, 1, b"\xfe"), frames.COMPRESSION_ERROR),
        (
            frames.frame(frames.HEADERS, 1, 1, HEAD) + frames.frame(frames.PING, 0, 0, bytes(8)),
            frames.PROTOCOL_ERROR,
        ),
        (frames.frame(frames.CONTINUATION, 4, 1, HEAD), frames.PROTOCOL_ERROR),
        (
            frames.frame(frames.HEADERS, 1, 1, b"")
            + frames.frame(frames.CONTINUATION, 0, 1, bytes(16_000)) * 3,
            frames.ENHANCE_YOUR_CALM,
        ),
        (b"\x00\x40\x01\x00\x00\0\0\0\x01", frames.FRAME_SIZE_ERROR),
        (frames.frame(frames.PING, 0, 0, b"short"), frames.FRAME_SIZE_ERROR),
        (frames.frame(frames.SETTINGS, 0, 0, b"12345"), frames.FRAME_SIZE_ERROR),
        (frames.settings({frames.WINDOW_SETTING: 1 << 31}), frames.FLOW_CONTROL_ERROR),
        (frames.window_update(0, 0), frames.FLOW_CONTROL_ERROR),
        (frames.window_update(0, frames.MAX_WINDOW), frames.FLOW_CONTROL_ERROR),
        (frames.window_update(7, 1), frames.PROTOCOL_ERROR),
        (frames.reset(1, 8), frames.PROTOCOL_ERROR),
        (frames.frame(frames.PUSH_PROMISE, 4, 1, bytes(8)), frames.PROTOCOL_ERROR),
        (frames.frame(frames.HEADERS, 0xD, 1, b"\xff" + HEAD), frames.PROTOCOL_ERROR),
        (frames.frame(frames.PING, 0, 0, bytes(8)) * (http2.MAX_CONTROL + 2), frames.ENHANCE_YOUR_CALM),
        (frames.settings({}) * (http2.MAX_CONTROL + 2), frames.ENHANCE_YOUR_CALM),
    ],
)
async def test_what_breaks_the_protocol_ends_the_connection(sent: bytes, code: int) -> None:
    async with serving() as served, raw(served.port) as client:
        client.send(sent)
        await client.ends_with(code)
        async with channel(served.port) as other:
            assert await other.unary_unary("/test/Echo")(b"x") == b"x"


async def test_calls_that_are_begun_only_to_be_reset() -> None:
    async with serving() as served, raw(served.port) as client:
        for stream in range(1, 2 * wire.MAX_RESETS + 5, 2):
            client.send(frames.frame(frames.HEADERS, 4, stream, HEAD), frames.reset(stream, frames.CANCEL))
        await client.ends_with(frames.ENHANCE_YOUR_CALM)
        assert served.app.running == 0


async def test_what_is_no_http_2() -> None:
    async with serving() as served:
        for sent in (b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nXX"):
            async with raw(served.port, greet=False) as client:
                client.send(sent)
                await client.ends_with(frames.PROTOCOL_ERROR)


async def test_more_streams_than_were_offered_are_refused() -> None:
    async with serving(streams=2) as served, raw(served.port) as client:
        for stream in (1, 3, 5):
            client.send(frames.frame(frames.HEADERS, 4, stream, HEAD))
        assert (await client.first(frames.RST_STREAM))[2:] == (5, frames.REFUSED_STREAM.to_bytes(4, "big"))


async def test_a_client_that_stalls_is_left() -> None:
    async with serving(stall_s=0.2) as served, raw(served.port) as client:
        client.send(frames.frame(frames.HEADERS, 4, 1, HEAD), data(1, b"\0", 0))
        await until(lambda: served.app.running == 1)
        await until(lambda: served.app.running == 0)


async def test_a_client_that_says_nothing_is_left() -> None:
    async with serving(head_s=0.2) as served, raw(served.port, greet=False) as client:
        assert await asyncio.wait_for(client.reader.read(), PATIENCE_S)  # the greeting, and then the end
