from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmind.errors import ClientGone, MalformedResponse
from wasmind.guest_api.cgi.response import WINDOW, ResponseWriter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

HEAD = b"Content-Type: text/plain\n\n"


class Client:
    """Receives a response; `slow` makes it wait for `go` before each part."""

    def __init__(self, *, slow: bool = False, gone: bool = False) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.parts: list[bytes] = []
        self.ended = False
        self.go = asyncio.Event()
        self.slow = slow
        self.gone = gone
        self.busy = False

    def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        assert not self.status
        self.status, self.headers = status, dict(headers)

    def body(self, chunk: bytes, more: bool) -> Awaitable[None] | None:
        assert self.status
        assert not self.ended
        assert not self.busy, "written to before the part before it was taken"
        if self.slow or self.gone:
            self.busy = True
            return self._take(chunk, more)
        self.parts.append(chunk)
        self.ended = not more
        return None

    async def _take(self, chunk: bytes, more: bool) -> None:
        if self.slow:
            await self.go.wait()
        else:
            await asyncio.sleep(0)
        self.busy = False
        if self.gone:
            raise ClientGone("the client is gone")
        self.parts.append(chunk)
        self.ended = not more

    @property
    def data(self) -> bytes:
        return b"".join(self.parts)


async def wrote(client: Client, *writes: bytes, method: str = "GET") -> ResponseWriter:
    writer = ResponseWriter(client, method)
    for data in writes:
        waiting = writer.write(data)
        if waiting is not None:
            await waiting
    return writer


async def test_a_small_response_goes_out_whole() -> None:
    client = Client()
    writer = await wrote(client, HEAD, b"hello, ", b"world")
    assert not writer.started
    assert writer.answered
    await writer.finish()
    assert (client.status, client.parts, client.ended) == (200, [b"hello, world"], True)
    assert client.headers == {b"content-type": b"text/plain", b"content-length": b"12"}


@given(st.lists(st.integers(0, 60), max_size=8))
def test_however_it_is_cut_it_is_the_same_response(cuts: list[int]) -> None:
    data = b"Status: 203 x\r\nContent-Type: a/b\r\nX-A: 1\r\n\r\nhello\n\nbye"
    at = sorted({0, len(data), *cuts})
    client = Client()

    async def run() -> None:
        await (await wrote(client, *(data[i:j] for i, j in itertools.pairwise(at)))).finish()

    asyncio.run(run())
    assert (client.status, client.data) == (203, b"hello\n\nbye")
    assert client.headers == {b"content-type": b"a/b", b"x-a": b"1", b"content-length": b"10"}


async def test_an_empty_body() -> None:
    client = Client()
    await (await wrote(client, HEAD)).finish()
    assert (client.parts, client.ended, client.headers[b"content-length"]) == ([b""], True, b"0")


async def test_a_long_response_is_streamed_without_a_length() -> None:
    client = Client()
    writer = await wrote(client, HEAD, *[b"x" * 10_000] * 20)
    assert writer.started
    assert 100_000 < len(client.data) <= 200_000
    await writer.finish()
    assert client.data == b"x" * 200_000
    assert b"content-length" not in client.headers
    assert max(map(len, client.parts)) < 2 * WINDOW


async def test_the_guest_waits_while_the_client_is_slow() -> None:
    client = Client(slow=True)
    writer = ResponseWriter(client)
    assert writer.write(HEAD) is None
    waiting = writer.write(b"x" * WINDOW)
    assert waiting is not None
    task = asyncio.ensure_future(waiting)
    await asyncio.sleep(0.001)
    assert not task.done()
    client.go.set()
    await task
    assert client.data == b"x" * WINDOW


async def test_what_is_kept_goes_out_when_the_guest_waits() -> None:
    """A stream of tokens reaches its reader token by token."""
    client = Client()
    writer = await wrote(client, HEAD, b"one ")
    for token in (b"two ", b"three "):
        writer.flush()
        await asyncio.sleep(0)
        writer.write(token)
    await writer.finish()
    assert client.parts == [b"one ", b"two ", b"three "]
    assert b"content-length" not in client.headers


async def test_flushing_nothing_sends_nothing() -> None:
    client = Client()
    for writes in ((), (b"Content-Type: a/b\n",), (HEAD,)):
        writer = await wrote(client, *writes)
        writer.flush()
        await asyncio.sleep(0.001)
        assert client.status == 0


async def test_flushes_while_one_is_under_way() -> None:
    client = Client(slow=True)
    writer = await wrote(client, HEAD, b"a")
    for _ in range(10):
        writer.flush()
        await asyncio.sleep(0)
        writer.write(b"b")
    client.go.set()
    await writer.finish()
    assert client.data == b"a" + b"b" * 10
    assert len(client.parts) <= 3


async def test_the_client_going_is_seen_at_the_next_wait() -> None:
    client = Client(gone=True)
    writer = await wrote(client, HEAD, b"a")
    writer.flush()
    await asyncio.sleep(0.001)
    waiting = writer.write(b"x" * WINDOW)
    assert waiting is not None
    with pytest.raises(ClientGone):
        await waiting


async def test_abandoning_a_response_leaves_no_task() -> None:
    for client in (Client(slow=True), Client(gone=True)):
        writer = await wrote(client, HEAD, b"a")
        writer.flush()
        await asyncio.sleep(0)
        writer.abandon()
        assert writer.write(b"more") is None
        writer.flush()
        await asyncio.sleep(0.001)
        assert len(asyncio.all_tasks()) == 1
        assert not client.ended


async def test_closing_ends_the_response() -> None:
    client = Client()
    writer = await wrote(client, HEAD, b"hello")
    closing = writer.close()
    assert closing is not None
    await closing
    assert (client.data, client.ended) == (b"hello", True)
    assert writer.write(b"afterwards") is None
    await writer.finish()
    assert client.data == b"hello"


async def test_closing_before_there_is_a_head() -> None:
    writer = await wrote(Client(), b"Content-Type: a/b\n")
    assert writer.close() is None
    with pytest.raises(MalformedResponse):
        await writer.finish()


# --- responses that are none ------------------------------------------------------------------------------


async def test_no_output() -> None:
    with pytest.raises(MalformedResponse, match="ended without a response") as caught:
        await ResponseWriter(Client()).finish()
    assert caught.value.cause == "it wrote nothing to its stdout"


async def test_half_a_head() -> None:
    with pytest.raises(MalformedResponse, match="ended inside the head"):
        await (await wrote(Client(), b"Content-Type: text/plain\n")).finish()


async def test_no_head() -> None:
    with pytest.raises(MalformedResponse, match="no CGI response"):
        await wrote(Client(), b"Hello!\n\n")


async def test_a_head_without_end() -> None:
    client = Client()
    with pytest.raises(MalformedResponse) as caught:
        await wrote(client, *[b"x" * 1000] * 100)
    assert "more than 65536 bytes" in str(caught.value.cause)
    assert client.status == 0


# --- lengths and bodies -----------------------------------------------------------------------------------


async def test_a_promised_length_that_is_kept() -> None:
    client = Client()
    await (await wrote(client, b"Content-Length: 5\nContent-Type: a/b\n\nhello")).finish()
    assert (client.headers[b"content-length"], client.data) == (b"5", b"hello")


async def test_a_promised_length_lets_a_long_response_have_one() -> None:
    client = Client()
    await (
        await wrote(client, b"Content-Length: 100000\nContent-Type: a/b\n\n", *[b"x" * 10_000] * 10)
    ).finish()
    assert (client.headers[b"content-length"], len(client.data)) == (b"100000", 100_000)


async def test_more_than_was_promised_is_refused() -> None:
    client = Client()
    with pytest.raises(MalformedResponse, match="longer than it promised"):
        await wrote(client, b"Content-Length: 4\nContent-Type: a/b\n\nhe", b"llo")
    assert client.status == 0


async def test_less_than_was_promised_is_refused() -> None:
    client = Client()
    with pytest.raises(MalformedResponse, match="shorter than it promised"):
        await (await wrote(client, b"Content-Length: 6\nContent-Type: a/b\n\nhello")).finish()
    assert client.status == 0


@pytest.mark.parametrize("body", [b"hello", b"x" * 3 * WINDOW])
async def test_head_requests_get_no_body_but_its_length(body: bytes) -> None:
    client = Client()
    await (await wrote(client, HEAD, body, method="HEAD")).finish()
    assert (client.parts, client.headers[b"content-length"]) == ([b""], b"%d" % len(body))


async def test_a_head_request_may_promise_a_length_without_writing_it() -> None:
    client = Client()
    await (await wrote(client, b"Content-Length: 6\nContent-Type: a/b\n\n", method="HEAD")).finish()
    assert client.headers[b"content-length"] == b"6"


@pytest.mark.parametrize("status", [204, 304])
async def test_statuses_without_a_body(status: int) -> None:
    client = Client()
    await (await wrote(client, b"Status: %d\nX-A: 1\n\nthis must not be sent" % status)).finish()
    assert (client.status, client.parts, client.headers) == (status, [b""], {b"x-a": b"1"})


async def test_a_flood_of_empty_writes_takes_no_memory() -> None:
    writer = await wrote(Client(), HEAD)
    for _ in range(100_000):
        writer.write(b"")
    assert len(writer._kept) <= 1
