from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest

from wasmind.config import Limits, Size
from wasmind.errors import BodyTimeout, BodyTooLarge, RequestError
from wasmind.httpd.body import WINDOW, RequestBody, broken_off
from wasmind.httpd.head import Head


class Flow:
    """The connection's side, and what it was asked."""

    def __init__(self) -> None:
        self.held = 0
        self.invited = 0

    def hold(self) -> None:
        self.held += 1

    def flow(self) -> None:
        self.held -= 1

    def invite(self) -> None:
        self.invited += 1


def body_of(flow: Flow | None = None, *, length: int | None = None, **limits: Any) -> RequestBody:
    body = RequestBody(flow or Flow())
    framing = (
        [(b"transfer-encoding", b"chunked")] if length is None else [(b"content-length", b"%d" % length)]
    )
    head = Head(b"POST", b"/", [(b"host", b"h"), *framing], "1.1")
    body.allow(head, msgspec.structs.replace(Limits(), **limits))
    return body


async def whole(body: RequestBody) -> bytes:
    parts = []
    while data := await body.receive():
        parts.append(data)
    return b"".join(parts)


async def test_what_came_is_received_and_then_the_end() -> None:
    body = body_of()
    body.put(b"abc")
    body.put(b"de")
    body.end()
    assert await body.receive() == b"abcde", "small parts are put together"
    assert await body.receive() == b""
    assert await body.receive() == b""


async def test_a_reader_waits_for_the_next_part_and_for_the_end() -> None:
    body = body_of()
    reading = asyncio.create_task(whole(body))
    for part in (b"a", b"b"):
        await asyncio.sleep(0.01)
        body.put(part)
    await asyncio.sleep(0.01)
    assert not reading.done()
    body.end()
    assert await reading == b"ab"


async def test_the_client_is_invited_only_when_somebody_waits() -> None:
    flow = Flow()
    body = body_of(flow)
    body.put(b"a")
    assert await body.receive() == b"a"
    assert flow.invited == 0
    reading = asyncio.create_task(body.receive())
    await asyncio.sleep(0.01)
    assert flow.invited == 1
    body.end()
    assert await reading == b""


async def test_a_full_window_holds_the_client_until_it_is_read() -> None:
    flow = Flow()
    body = body_of(flow)
    body.put(b"x" * (WINDOW - 1))
    assert flow.held == 0
    body.put(b"x" * 10)
    body.put(b"x" * 10)
    assert flow.held == 1
    assert len(await body.receive()) == WINDOW + 19
    assert flow.held == 0


async def test_a_length_over_the_limit_is_refused_before_anything_is_read() -> None:
    with pytest.raises(BodyTooLarge) as refused:
        body_of(length=11, request_body=Size(10))
    assert refused.value.status == 413


async def test_a_body_that_grows_over_the_limit_is_refused() -> None:
    body = body_of(request_body=Size(10))
    body.put(b"a" * 10)
    assert await body.receive() == b"a" * 10
    body.put(b"b")
    with pytest.raises(BodyTooLarge):
        await body.receive()


async def test_a_body_as_large_as_the_limit_is_taken() -> None:
    body = body_of(length=10, request_body=Size(10))
    body.put(b"a" * 10)
    body.end()
    assert await whole(body) == b"a" * 10


async def test_a_stall_times_out_and_says_so() -> None:
    body = body_of(body_stall_ms=30.0)
    body.put(b"abc")
    assert await body.receive() == b"abc"
    started = time.monotonic()
    with pytest.raises(BodyTimeout) as stalled:
        await body.receive()
    assert 0.02 < time.monotonic() - started < 1
    assert "after 3 bytes" in (stalled.value.cause or "")
    assert stalled.value.status == 408


async def test_a_slow_client_that_keeps_sending_is_no_stall() -> None:
    body = body_of(body_stall_ms=200.0)
    reading = asyncio.create_task(whole(body))
    for letter in (b"a", b"b", b"c", b"d"):
        await asyncio.sleep(0.08)
        body.put(letter)
    body.end()
    assert await reading == b"abcd"


async def test_a_body_broken_off_is_an_error_after_what_came() -> None:
    body = body_of(length=10)
    body.put(b"abc")
    body.fail(broken_off(body.received))
    assert await body.receive() == b"abc"
    for _ in range(2):
        with pytest.raises(RequestError) as broken:
            await body.receive()
    assert broken.value.status == 400
    assert "after 3 bytes" in (broken.value.cause or "")


async def test_a_reader_that_waits_learns_that_it_broke_off() -> None:
    body = body_of(length=10)
    reading = asyncio.create_task(body.receive())
    await asyncio.sleep(0.01)
    body.fail(broken_off(0))
    with pytest.raises(RequestError):
        await reading


async def test_a_complete_body_cannot_break_off() -> None:
    body = body_of(length=3)
    body.put(b"abc")
    body.end()
    body.fail(broken_off(3))
    assert await whole(body) == b"abc"


async def test_the_first_error_is_the_one_that_is_told() -> None:
    body = body_of()
    body.fail(RequestError("first"))
    body.fail(RequestError("second"))
    with pytest.raises(RequestError, match="first"):
        await body.receive()


async def test_a_body_nobody_reads_is_dropped_and_flows_on() -> None:
    flow = Flow()
    body = body_of(flow)
    body.put(b"x" * WINDOW)
    assert flow.held == 1
    body.drop()
    body.put(b"x" * WINDOW)
    assert flow.held == 0
    assert body.received == 2 * WINDOW


async def test_cancelling_the_reader_leaves_the_body_readable() -> None:
    body = body_of(length=3)
    reading = asyncio.create_task(body.receive())
    await asyncio.sleep(0.01)
    reading.cancel()
    await asyncio.wait([reading])
    body.put(b"abc")
    assert await body.receive() == b"abc"
