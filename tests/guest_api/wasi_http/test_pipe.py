"""The buffer between a guest that writes and whoever sends."""

from __future__ import annotations

import asyncio

import pytest

from wasmind.guest_api.wasi.p2.streams import StreamFailure
from wasmind.guest_api.wasi_http.pipe import WINDOW, BodyPipe


def pipe(length: int | None = None) -> tuple[BodyPipe, list[int]]:
    woken: list[int] = []
    made = BodyPipe(length, "HTTP-response-body-size")
    made.on_wake(lambda: woken.append(made.size))
    return made, woken


def test_small_writes_are_kept_together() -> None:
    made, woken = pipe()
    assert made.write(b"a") is None
    assert made.write(b"") is None
    assert made.write(b"bc") is None
    assert (woken, made.size, made.written) == ([], 3, 3)
    assert made.take() == b"abc"
    assert (made.size, made.written) == (0, 3)
    assert made.take() == b""


async def test_a_full_window_makes_the_writer_wait() -> None:
    made, woken = pipe()
    room = made.write(bytes(WINDOW))
    assert room is not None
    assert woken == [WINDOW]
    waiting = asyncio.ensure_future(room)
    await asyncio.sleep(0.001)
    assert not waiting.done()
    assert len(made.take()) == WINDOW
    await asyncio.wait_for(waiting, 1)


async def test_a_writer_that_waits_is_let_go_when_nothing_is_sent_any_more() -> None:
    made, _ = pipe()
    room = made.write(bytes(WINDOW))
    assert room is not None
    waiting = asyncio.ensure_future(room)
    await asyncio.sleep(0)
    made.abandon()
    await asyncio.wait_for(waiting, 1)
    with pytest.raises(StreamFailure, match="not sent any more"):
        made.write(b"x")
    assert made.size == 0


def test_the_end() -> None:
    made, woken = pipe()
    made.write(b"abc")
    assert made.finish()
    assert (made.ended, made.complete, woken) == (True, True, [3])


@pytest.mark.parametrize(
    ("length", "data", "complete"), [(3, b"abc", True), (4, b"abc", False), (0, b"", True)]
)
def test_a_promised_length(length: int, data: bytes, complete: bool) -> None:
    made, _ = pipe(length)
    made.write(data)
    assert made.finish() is complete
    assert made.complete is complete


def test_more_than_promised_is_not_kept() -> None:
    made, _ = pipe(2)
    made.write(b"ab")
    with pytest.raises(StreamFailure) as caught:
        made.write(b"c")
    assert caught.value.detail == ("HTTP-response-body-size", 3)
    assert made.take() == b"ab"
