from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest

from wasmind.config import Limits, Size
from wasmind.edge.body import TINY_FREE, RequestBody
from wasmind.edge.request import Head
from wasmind.errors import BodyTimeout, BodyTooLarge, RequestError

END = {"type": "http.request", "body": b"", "more_body": False}
GONE = {"type": "http.disconnect"}


def part(data: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": data, "more_body": more}


class Client:
    """The server's side of a request: messages that come when the test says so."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.asked = 0
        for message in messages:
            self.queue.put_nowait(message)

    def receive(self) -> asyncio.Future[dict[str, Any]]:
        self.asked += 1
        return asyncio.ensure_future(self.queue.get())


def body_of(
    client: Client, *, length: int | None = None, chunked: bool = False, **limits: Any
) -> RequestBody:
    headers = [(b"host", b"h")]
    if length is not None:
        headers.append((b"content-length", b"%d" % length))
    if chunked:
        headers.append((b"transfer-encoding", b"chunked"))
    scope = {"method": "POST", "path": "/", "raw_path": b"/", "headers": headers, "http_version": "1.1"}
    settings = msgspec.structs.replace(Limits(), **limits)
    return RequestBody(client.receive, Head(scope), settings, asyncio.get_running_loop())


async def whole(body: RequestBody) -> bytes:
    parts = []
    while data := await body.receive():
        parts.append(data)
    return b"".join(parts)


async def test_a_request_without_a_body_is_never_asked_for_one() -> None:
    client = Client()
    body = body_of(client)
    body.begin()
    assert await whole(body) == b""
    assert client.asked == 0


async def test_a_body_of_known_length_ends_without_asking_for_the_end() -> None:
    client = Client(part(b"abc"), part(b"de"))
    assert await whole(body_of(client, length=5)) == b"abcde"
    assert client.asked == 2


async def test_a_chunked_body_ends_when_the_client_says_so() -> None:
    assert (
        await whole(body_of(Client(part(b"abc"), part(b""), part(b"de", more=False)), chunked=True))
        == b"abcde"
    )
    assert await whole(body_of(Client(part(b"abc"), END), chunked=True)) == b"abc"


async def test_nothing_is_asked_for_until_the_guest_reads() -> None:
    client = Client(part(b"a" * 10), part(b"b" * 10))
    body = body_of(client, length=20)
    await asyncio.sleep(0.01)
    assert client.asked == 0
    assert await body.receive() == b"a" * 10
    await asyncio.sleep(0.01)
    assert client.asked == 1


async def test_begin_asks_for_one_part_only() -> None:
    client = Client(part(b"a" * 10), part(b"b" * 10))
    body = body_of(client, length=20)
    body.begin()
    body.begin()
    await asyncio.sleep(0.01)
    assert client.asked == 1
    assert await whole(body) == b"a" * 10 + b"b" * 10


async def test_a_length_over_the_limit_is_refused_before_anything_is_read() -> None:
    client = Client()
    with pytest.raises(BodyTooLarge):
        body_of(client, length=11, request_body=Size(10))
    assert client.asked == 0


@pytest.mark.parametrize("prefetch", [False, True])
async def test_a_body_that_grows_over_the_limit_is_refused(prefetch: bool) -> None:
    body = body_of(Client(part(b"a" * 10), part(b"b")), chunked=True, request_body=Size(10))
    assert await body.receive() == b"a" * 10
    if prefetch:
        body.begin()
        await asyncio.sleep(0.01)
    with pytest.raises(BodyTooLarge) as refused:
        await body.receive()
    assert refused.value.status == 413


async def test_a_body_as_large_as_the_limit_is_taken() -> None:
    assert await whole(body_of(Client(part(b"a" * 10)), length=10, request_body=Size(10))) == b"a" * 10


async def test_a_stall_times_out_and_says_so() -> None:
    client = Client(part(b"abc"))
    body = body_of(client, length=10, body_stall_ms=30.0)
    assert await body.receive() == b"abc"
    started = time.monotonic()
    with pytest.raises(BodyTimeout) as stalled:
        await body.receive()
    assert 0.02 < time.monotonic() - started < 1
    assert "after 3 bytes" in (stalled.value.cause or "")
    body.close()


async def test_a_slow_client_that_keeps_sending_is_no_stall() -> None:
    client = Client()
    body = body_of(client, length=4, body_stall_ms=200.0)
    reading = asyncio.create_task(whole(body))
    for letter in (b"a", b"b", b"c", b"d"):
        await asyncio.sleep(0.08)
        client.queue.put_nowait(part(letter))
    assert await reading == b"abcd"


async def test_a_body_broken_off_is_an_error() -> None:
    body = body_of(Client(part(b"abc"), GONE), length=10)
    assert await body.receive() == b"abc"
    for _ in range(2):
        with pytest.raises(RequestError) as broken:
            await body.receive()
    assert broken.value.status == 400
    assert body.left


async def test_the_watch_tells_at_once_when_the_client_leaves() -> None:
    client = Client(END)
    body = body_of(client)
    gone = asyncio.Event()
    body.watch(gone.set)
    await asyncio.sleep(0.01)
    assert not gone.is_set()
    client.queue.put_nowait(GONE)
    await asyncio.wait_for(gone.wait(), 1)
    assert body.left


async def test_the_watch_keeps_the_part_it_met_for_the_guest() -> None:
    client = Client(part(b"abc"), part(b"def"), GONE)
    body = body_of(client, length=6)
    gone = asyncio.Event()
    body.watch(gone.set)
    await asyncio.sleep(0.01)
    assert client.asked == 1, "one part is held at most"
    assert await body.receive() == b"abc"
    assert await body.receive() == b"def"
    body.watch(gone.set)
    await asyncio.wait_for(gone.wait(), 1)


async def test_the_watch_goes_on_while_the_guest_reads() -> None:
    client = Client()
    body = body_of(client, length=6)
    gone = asyncio.Event()
    body.watch(gone.set)
    reading = asyncio.create_task(body.receive())
    await asyncio.sleep(0.01)
    client.queue.put_nowait(GONE)
    with pytest.raises(RequestError):
        await reading
    assert gone.is_set()


async def test_after_unwatch_the_end_is_nobodys_concern() -> None:
    client = Client(END)
    body = body_of(client)
    gone = asyncio.Event()
    body.watch(gone.set)
    await asyncio.sleep(0.01)
    body.unwatch()
    client.queue.put_nowait(GONE)
    await asyncio.sleep(0.01)
    assert not gone.is_set()


async def test_close_stops_receiving() -> None:
    client = Client()
    body = body_of(client, length=5)
    gone = asyncio.Event()
    body.watch(gone.set)
    body.close()
    client.queue.put_nowait(GONE)
    await asyncio.sleep(0.01)
    assert not gone.is_set()


async def test_cancelling_the_reader_leaves_the_body_readable() -> None:
    client = Client()
    body = body_of(client, length=3)
    reading = asyncio.create_task(body.receive())
    await asyncio.sleep(0.01)
    reading.cancel()
    await asyncio.wait([reading])
    client.queue.put_nowait(part(b"abc"))
    assert await body.receive() == b"abc"


async def test_a_flood_of_tiny_parts_is_slowed_and_nothing_is_lost() -> None:
    extra = 50
    client = Client(*(part(b"x") for _ in range(TINY_FREE + extra)), END)
    started = time.monotonic()
    assert await whole(body_of(client, chunked=True)) == b"x" * (TINY_FREE + extra)
    assert time.monotonic() - started >= extra * 0.001
