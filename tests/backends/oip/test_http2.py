"""The HTTP/2 client against servers that speak frame by frame as each test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import cycle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.h2_server import ENDS, Listening, Peer, data, speaking
from wasmind.backends.oip import channel as channels
from wasmind.backends.oip import dial, http2
from wasmind.backends.oip.channel import Channel
from wasmind.backends.oip.exchange import WORDS, Answer, BrokenOff, StreamReset, TooMuch, Unreachable
from wasmind.httpd import frames
from wasmind.httpd import http2 as both

BLOCK = frames.request("POST", "http", "h", "/x")
MOST = 1 << 20
Speak = Callable[[Peer], Awaitable[None]]


@asynccontextmanager
async def talking(speak: Speak) -> AsyncIterator[tuple[Channel, Listening]]:
    async with speaking(speak) as listening:
        channel = Channel("127.0.0.1", listening.port, None)
        try:
            yield channel, listening
        finally:
            channel.close()


async def ask(channel: Channel, body: bytes = b"", most: int = MOST, seconds: float = 10.0) -> Answer:
    async with asyncio.timeout(seconds):
        return await channel.exchange(BLOCK, (body,), most)


async def echo(peer: Peer, greeting: dict[int, int] | None = None) -> None:
    """Answer each request with its own body."""
    await peer.greet(greeting)
    while True:
        stream, _, body = await peer.request()
        peer.send(peer.answer(stream, body))


def says(*parts: Callable[[Peer], bytes] | bytes) -> Speak:
    """Answer the first request with these bytes, and wait for what the client does."""

    async def speak(peer: Peer) -> None:
        await peer.greet()
        await peer.request()
        peer.send(*(part if isinstance(part, bytes) else part(peer) for part in parts))
        await peer.reader.read()

    return speak


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.005)


# --- answers ----------------------------------------------------------------------------------------------


async def test_a_request_and_its_answer() -> None:
    async def speak(peer: Peer) -> None:
        await peer.greet()
        stream, headers, body = await peer.request()
        assert (stream, headers, body) == (
            1,
            {":method": "POST", ":scheme": "http", ":authority": "h", ":path": "/x"},
            b"asked",
        )
        peer.send(
            peer.head(stream, status="200", x_some="thing"),
            data(stream, b"answ", 0),
            data(stream, b"ered", 0),
            peer.head(stream, ENDS, some_trailer="last"),
        )
        await peer.reader.read()

    async with talking(speak) as (channel, _):
        answer = await ask(channel, b"asked")
    assert (answer.status, answer.headers[b"x-some"], answer.body) == (200, b"thing", b"answered")
    assert answer.trailers == {b"some-trailer": b"last"}


async def test_many_requests_share_a_connection() -> None:
    async with talking(echo) as (channel, listening):
        for _ in range(3):
            answers = await asyncio.gather(*(ask(channel, b"%d" % number) for number in range(100)))
            assert [answer.body for answer in answers] == [b"%d" % number for number in range(100)]
        assert listening.connections == 1


async def test_answers_in_another_order() -> None:
    async def speak(peer: Peer) -> None:
        await peer.greet()
        asked = [await peer.request() for _ in range(3)]
        for stream, _, _ in reversed(asked):
            peer.send(peer.head(stream))
        for stream, _, body in asked[1:] + asked[:1]:
            peer.send(data(stream, body))
        await peer.reader.read()

    async with talking(speak) as (channel, _):
        answers = await asyncio.gather(*(ask(channel, b"%d" % number) for number in range(3)))
        assert [answer.body for answer in answers] == [b"0", b"1", b"2"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 400), max_size=40), st.integers(0, 900))
def test_however_the_bytes_are_cut_the_answers_are_the_same(cuts: list[int], size: int) -> None:
    async def run() -> None:
        async def speak(peer: Peer) -> None:
            await peer.greet()
            await peer.request()
            block = peer.block(status="200", some="header")
            stream = b"".join(
                (
                    frames.frame(frames.PING, 0, 0, bytes(8)),
                    frames.frame(frames.HEADERS, 0, 1, block[:3]),
                    frames.frame(frames.CONTINUATION, frames.END_HEADERS, 1, block[3:]),
                    frames.frame(frames.DATA, frames.PADDED, 1, b"\x05" + bytes(size) + bytes(5)),
                    frames.frame(77, 0xFF, 1, b"of a kind that is not known"),
                    data(1, b"end"),
                )
            )
            at = 0
            for cut in cuts:
                peer.send(stream[at : at + cut])
                await peer.writer.drain()
                await asyncio.sleep(0)
                at += cut
            peer.send(stream[at:])
            await peer.reader.read()

        async with talking(speak) as (channel, _):
            answer = await ask(channel)
            assert (answer.body, answer.headers[b"some"]) == (bytes(size) + b"end", b"header")

    asyncio.run(run())


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 70_000, 3_000_000])
async def test_bodies_both_ways(size: int) -> None:
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)

    async def speak(peer: Peer) -> None:
        await peer.greet({frames.WINDOW_SETTING: MOST * 4})
        peer.send(frames.window_update(0, MOST * 4))
        stream, _, sent = await peer.request()
        assert sent == body
        window = both.STREAM_WINDOW
        peer.send(peer.head(stream))
        for at in range(0, size, frames.MAX_FRAME):
            part = body[at : at + frames.MAX_FRAME]
            if window < len(part):
                _, _, of, more = await peer.first(frames.WINDOW_UPDATE)
                assert of == stream
                window += int.from_bytes(more, "big")
            window -= len(part)
            peer.send(data(stream, part, 0))
        peer.send(data(stream, b""))
        await peer.reader.read()

    async with talking(speak) as (channel, _):
        assert (await ask(channel, body, most=size)).body == body


async def test_interim_answers_are_passed_over() -> None:
    speak = says(lambda peer: peer.head(1, status="103", link="x") + peer.answer(1, b"ok"))
    async with talking(speak) as (channel, _):
        assert (await ask(channel)).body == b"ok"


async def test_more_than_was_allowed() -> None:
    async with talking(says(lambda peer: peer.answer(1, bytes(2000)))) as (channel, _):
        assert len((await ask(channel, most=2000)).body) == 2000
    async with talking(says(lambda peer: peer.answer(1, bytes(2000)))) as (channel, _):
        with pytest.raises(TooMuch):
            await ask(channel, most=1999)


async def test_of_a_long_refusal_the_beginning_is_enough() -> None:
    speak = says(
        lambda peer: peer.head(1, status="500", content_length="900000"), *[data(1, bytes(16_000), 0)] * 10
    )
    async with talking(speak) as (channel, _):
        answer = await ask(channel)
        assert (answer.status, len(answer.body)) == (500, WORDS)


async def test_an_answer_before_the_request_was_read() -> None:
    """The rest of the request is not sent, and the connection goes on."""

    async def speak(peer: Peer) -> None:
        await peer.greet({frames.WINDOW_SETTING: 10})
        await peer.first(frames.HEADERS)
        peer.send(peer.head(1, ENDS, status="413"))
        assert (await peer.first(frames.RST_STREAM))[2] == 1
        stream, _, body = await peer.request()
        assert (stream, body) == (3, b"")
        peer.send(peer.answer(stream, b"ok"))
        await peer.reader.read()

    async with talking(speak) as (channel, listening):
        assert (await ask(channel, bytes(1000))).status == 413
        assert (await ask(channel)).body == b"ok"
        assert listening.connections == 1


# --- windows ----------------------------------------------------------------------------------------------


async def test_a_request_waits_for_its_windows() -> None:
    async def speak(peer: Peer) -> None:
        await peer.greet({frames.WINDOW_SETTING: 10})
        assert await peer.first(frames.DATA) == (frames.DATA, 0, 1, b"0123456789")
        peer.send(frames.window_update(1, 3))
        assert (await peer.first(frames.DATA))[3] == b"abc"
        peer.send(frames.settings({frames.WINDOW_SETTING: 2}))
        peer.send(frames.window_update(1, 8))
        await peer.first(frames.SETTINGS)
        peer.send(frames.settings({frames.WINDOW_SETTING: 3}))
        assert (await peer.first(frames.DATA))[3] == b"d"
        peer.send(frames.window_update(1, 100))
        assert (await peer.first(frames.DATA))[3] == b"ef"
        _, flags, stream, payload = await peer.first(frames.DATA)
        assert (flags, stream, payload) == (frames.END_STREAM, 1, b"")
        peer.send(peer.answer(1, b"ok"))
        await peer.reader.read()

    async with talking(speak) as (channel, _):
        assert (await ask(channel, b"0123456789abcdef")).body == b"ok"


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 300),
    st.lists(st.integers(1, 40_000), min_size=1, max_size=12),
    st.lists(st.integers(0, 50_000), min_size=1, max_size=4),
)
def test_whatever_the_windows_are_requests_arrive_whole(
    initial: int, grants: list[int], sizes: list[int]
) -> None:
    async def speak(peer: Peer) -> None:
        more = cycle(grants)
        room, bodies = {0: 65_535}, dict[int, bytearray]()

        def grant(stream: int, size: int) -> None:
            room[stream] += size
            peer.send(frames.window_update(stream, size))

        await peer.greet({frames.WINDOW_SETTING: initial})
        while True:
            kind, flags, stream, payload = await peer.next()
            if kind == frames.HEADERS:
                room[stream], bodies[stream] = initial, bytearray()
                grant(stream, next(more))
            elif kind == frames.DATA:
                bodies[stream] += payload
                for of in (0, stream):
                    room[of] -= len(payload)
                    assert room[of] >= 0, "more came than there was room for"
                    grant(of, len(payload) + next(more))
            if flags & frames.END_STREAM and stream in bodies:
                peer.send(peer.answer(stream, bodies.pop(stream)))

    async def run() -> None:
        bodies = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
        async with talking(speak) as (channel, _):
            answers = await asyncio.gather(*(ask(channel, body) for body in bodies))
            assert [answer.body for answer in answers] == bodies

    asyncio.run(run())


async def test_the_connections_window_is_shared_in_turns() -> None:
    """A large request does not keep a small one from being sent."""

    async def speak(peer: Peer) -> None:
        await peer.greet({frames.WINDOW_SETTING: 8 << 20})
        sent = {1: 0, 3: 0}
        for more in (65_535, 65_535, 400_000):
            while more and sent[3] < 100_000:
                _, _, stream, payload = await peer.first(frames.DATA)
                sent[stream] += len(payload)
                more -= len(payload)
            if sent[3] == 100_000:
                break
            peer.send(frames.window_update(0, 65_535 if sent[1] + sent[3] < 131_070 else 400_000))
        assert sent[1] < 1_000_000
        peer.send(peer.answer(3, b"small"))
        await peer.reader.read()

    async with talking(speak) as (channel, _):
        large = asyncio.create_task(ask(channel, bytes(1_000_000)))
        small = asyncio.create_task(ask(channel, bytes(100_000)))
        assert (await small).body == b"small"
        large.cancel()
        await asyncio.wait({large})


async def test_frames_are_no_larger_than_the_server_takes() -> None:
    async def speak(peer: Peer) -> None:
        await peer.greet({frames.FRAME_SETTING: 30_000, frames.WINDOW_SETTING: MOST})
        await peer.first(frames.SETTINGS)
        assert len((await peer.first(frames.DATA))[3]) == 30_000
        assert len((await peer.first(frames.DATA))[3]) == 10_000
        peer.send(peer.answer(1, b"ok"))
        await peer.reader.read()

    async with talking(speak) as (channel, _):
        assert (await ask(channel, bytes(40_000))).body == b"ok"


async def test_headers_larger_than_a_frame() -> None:
    async def speak(peer: Peer) -> None:
        await peer.greet()
        stream, headers, body = await peer.request()
        assert (len(headers["authorization"]), body) == (40_000, b"body")
        peer.send(peer.answer(stream, b"ok"))
        await peer.reader.read()

    async with talking(speak) as (channel, _):
        block = BLOCK + frames.literal(b"authorization", b"x" * 40_000)
        assert (await channel.exchange(block, (b"body",), MOST)).body == b"ok"


async def test_a_server_that_keeps_no_table() -> None:
    """RFC 7541, 4.2: an encoder says first that it keeps to it."""

    async def speak(peer: Peer) -> None:
        peer.decoder.max_allowed_table_size = 0
        await echo(peer, {frames.TABLE_SETTING: 0})

    async with talking(speak) as (channel, _):
        for _ in range(3):
            assert (await ask(channel, b"x")).body == b"x"


# --- streams of which the server takes no more ------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 4])
async def test_requests_beyond_the_streams_of_a_connection(most: int) -> None:
    async def speak(peer: Peer) -> None:
        await peer.greet({frames.MAX_STREAMS_SETTING: most})
        while True:
            asked = [await peer.request() for _ in range(most)]
            for stream, _, body in asked:
                peer.send(peer.answer(stream, body))

    async with talking(speak) as (channel, listening):
        answers = await asyncio.gather(*(ask(channel, b"%d" % number) for number in range(12)))
        assert [answer.body for answer in answers] == [b"%d" % number for number in range(12)]
        assert 1 < listening.connections <= 12 // most


@pytest.mark.parametrize("silent", [True, False])
async def test_requests_that_wait_go_on_as_soon_as_there_is_room(silent: bool) -> None:
    """The server accepts no other connection; and requests that were given up meanwhile take no room."""
    seen = []

    async def speak(peer: Peer) -> None:
        if listening.connections > 1:
            await peer.reader.read(-1 if silent else 0)
            return
        await peer.greet({frames.MAX_STREAMS_SETTING: 2})
        while True:
            stream, _, body = await peer.request()
            seen.append(body)
            await asyncio.sleep(0.02)
            peer.send(peer.answer(stream, body))

    async with talking(speak) as (channel, listening):
        tasks = [asyncio.create_task(ask(channel, b"%d" % number)) for number in range(8)]
        await until(lambda: len(seen) == 2)
        for task in tasks[3:5]:
            task.cancel()
        left = tasks[:3] + tasks[5:]
        assert [(await task).body for task in left] == [b"0", b"1", b"2", b"5", b"6", b"7"]
        assert seen == [b"0", b"1", b"2", b"5", b"6", b"7"]


async def test_one_that_is_given_up_at_its_turn_lets_the_next_go_on() -> None:
    async def speak(peer: Peer) -> None:
        if listening.connections == 1:
            await echo(peer, {frames.MAX_STREAMS_SETTING: 1})

    async with talking(speak) as (channel, listening):
        tasks = [asyncio.create_task(ask(channel, b"%d" % number)) for number in range(3)]
        wake = channel._wake

        def woken() -> None:
            wake()
            if listening.connections > 1 and not tasks[1].done():
                tasks[1].cancel()

        channel._wake = woken  # type: ignore[method-assign]  # it is cancelled in the moment it is woken
        assert (await tasks[0]).body == b"0"
        assert (await tasks[2]).body == b"2"
        assert tasks[1].cancelled()


async def test_requests_that_wait_go_elsewhere_when_their_connection_dies() -> None:
    refusing = asyncio.Event()
    refusing.set()

    async def speak(peer: Peer) -> None:
        if listening.connections == 1:
            await peer.greet({frames.MAX_STREAMS_SETTING: 1})
            await peer.request()
            await until(lambda: listening.connections > 1)
            await asyncio.sleep(0.05)  # until it is known that there is no other connection
            refusing.clear()
        elif not refusing.is_set():
            await echo(peer)

    async with talking(speak) as (channel, listening):
        tasks = [asyncio.create_task(ask(channel, b"%d" % number)) for number in range(4)]
        with pytest.raises(BrokenOff):
            await tasks[0]
        assert [(await task).body for task in tasks[1:]] == [b"1", b"2", b"3"]


async def test_a_server_that_takes_no_requests() -> None:
    async with talking(lambda peer: echo(peer, {frames.MAX_STREAMS_SETTING: 0})) as (channel, listening):
        with pytest.raises(Unreachable, match="MAX_CONCURRENT_STREAMS"):
            await ask(channel)
        assert listening.connections == 1


async def test_a_request_that_is_refused_is_sent_again() -> None:
    async def speak(peer: Peer) -> None:
        await peer.greet()
        stream, _, _ = await peer.request()
        peer.send(frames.reset(stream, frames.REFUSED_STREAM))
        stream, _, body = await peer.request()
        peer.send(peer.answer(stream, body))
        await peer.reader.read()

    async with talking(speak) as (channel, listening):
        assert (await ask(channel, b"x")).body == b"x"
        assert listening.connections == 1


async def test_a_server_that_refuses_each_time() -> None:
    async def speak(peer: Peer) -> None:
        await peer.greet()
        while True:
            stream, _, _ = await peer.request()
            peer.send(frames.reset(stream, frames.REFUSED_STREAM))

    async with talking(speak) as (channel, _):
        with pytest.raises(Unreachable, match="refused"):
            await ask(channel)


async def test_a_server_that_leaves() -> None:
    """What it has begun it answers; what it has not goes to another connection; the first one closes."""
    left = asyncio.Event()

    async def speak(peer: Peer) -> None:
        await peer.greet()
        first, _, _ = await peer.request()
        if left.is_set():
            peer.send(peer.answer(first, b"second"))
            await peer.reader.read()
            return
        await peer.request()
        left.set()
        peer.send(frames.goaway(first, frames.NO_ERROR), peer.answer(first, b"first"))
        await peer.ends_with(frames.NO_ERROR)

    async with talking(speak) as (channel, listening):
        answers = await asyncio.gather(ask(channel), ask(channel))
        assert [answer.body for answer in answers] == [b"first", b"second"]
        assert listening.connections == 2


async def test_an_idle_connection_that_the_server_leaves() -> None:
    async def speak(peer: Peer) -> None:
        await peer.greet()
        stream, _, _ = await peer.request()
        peer.send(peer.answer(stream, b"ok"), frames.goaway(stream, frames.NO_ERROR))
        await peer.ends_with(frames.NO_ERROR)

    async with talking(speak) as (channel, listening):
        for count in (1, 2, 3):
            assert (await ask(channel)).body == b"ok"
            assert listening.connections == count
            await asyncio.sleep(0.05)


# --- the end of a request ---------------------------------------------------------------------------------


async def test_cancelling_resets_the_stream_alone() -> None:
    reset = asyncio.Event()

    async def speak(peer: Peer) -> None:
        await peer.greet()
        stream, _, _ = await peer.request()
        peer.send(peer.head(stream), data(stream, b"some", 0))
        found = await peer.first(frames.RST_STREAM)
        assert found[2:] == (stream, frames.CANCEL.to_bytes(4, "big"))
        reset.set()
        peer.send(data(stream, b"late", 0), peer.head(stream, ENDS, some="trailer"))
        peer.send(frames.reset(stream, frames.CANCEL), frames.window_update(stream, 5))
        stream, _, body = await peer.request()
        peer.send(peer.answer(stream, body))
        await peer.reader.read()

    async with talking(speak) as (channel, listening):
        asking = asyncio.create_task(ask(channel))
        await asyncio.sleep(0.05)
        asking.cancel()
        await asyncio.wait({asking})
        async with asyncio.timeout(5):
            await reset.wait()
        assert (await ask(channel, b"next")).body == b"next"
        assert listening.connections == 1


async def test_a_connection_on_which_nothing_comes_is_left() -> None:
    async def speak(peer: Peer) -> None:
        await peer.greet()
        await peer.ends_with(frames.NO_ERROR)

    async with talking(speak) as (channel, listening):
        for count in (1, 1, 2):
            with pytest.raises(TimeoutError):
                await ask(channel, seconds=0.05)
            assert listening.connections == count


async def test_a_server_that_stops_reading_keeps_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(both, "LINGER_S", 0.05)
    lost = asyncio.Event()
    end = http2.Connection.connection_lost

    def connection_lost(self: http2.Connection, exc: Exception | None) -> None:
        end(self, exc)
        lost.set()

    monkeypatch.setattr(http2.Connection, "connection_lost", connection_lost)

    async def speak(peer: Peer) -> None:
        await peer.greet({frames.WINDOW_SETTING: 64 << 20})
        peer.send(frames.window_update(0, 64 << 20))
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # the stub tells of writing alone
        await asyncio.Event().wait()

    async with talking(speak) as (channel, _):
        with pytest.raises(TimeoutError):
            await ask(channel, bytes(32 << 20), seconds=0.3)
        channel.close()
        await asyncio.wait_for(lost.wait(), 5)


async def test_a_connection_on_which_something_comes_is_kept() -> None:
    async def speak(peer: Peer) -> None:
        await peer.greet()
        while True:
            await peer.first(frames.HEADERS)
            peer.send(frames.frame(frames.PING, 0, 0, bytes(8)))

    async with talking(speak) as (channel, listening):
        for _ in range(4):
            with pytest.raises(TimeoutError):
                await ask(channel, seconds=0.05)
        assert listening.connections == 1


async def test_a_server_that_dies_within_its_answer() -> None:
    async def speak(peer: Peer) -> None:
        await peer.greet()
        stream, _, _ = await peer.request()
        peer.send(peer.head(stream), data(stream, b"half", 0))
        await peer.writer.drain()

    async with talking(speak) as (channel, listening):
        for count in (1, 2):
            with pytest.raises(BrokenOff):
                await ask(channel)
            assert listening.connections == count


async def test_a_stream_that_the_server_gives_up() -> None:
    async with talking(says(frames.reset(1, frames.ENHANCE_YOUR_CALM))) as (channel, _):
        with pytest.raises(StreamReset, match="ENHANCE_YOUR_CALM") as raised:
            await ask(channel)
        assert raised.value.code == frames.ENHANCE_YOUR_CALM


@pytest.mark.parametrize(
    "sent",
    [
        lambda peer: data(1, b"before headers"),
        lambda peer: peer.head(1, ENDS, nothing="of a status"),
        lambda peer: peer.head(1, status="20"),
        lambda peer: peer.head(1, ENDS, status="100"),
        lambda peer: peer.head(1) + peer.head(1, status="200"),
        lambda peer: peer.head(1, status="200", content_length="5") + data(1, b"four"),
        lambda peer: peer.head(1, status="200", content_length="x") + data(1, b"four"),
    ],
)
async def test_what_is_no_answer_ends_its_stream_alone(sent: Callable[[Peer], bytes]) -> None:
    async def speak(peer: Peer) -> None:
        await peer.greet()
        await peer.request()
        peer.send(sent(peer))
        stream, _, body = await peer.request()
        peer.send(peer.answer(stream, body))
        await peer.reader.read()

    async with talking(speak) as (channel, listening):
        with pytest.raises(BrokenOff):
            await ask(channel)
        assert (await ask(channel, b"next")).body == b"next"
        assert listening.connections == 1


# --- servers that break the protocol ----------------------------------------------------------------------

HEAD = frames.frame(frames.HEADERS, frames.END_HEADERS, 1, b"\x88")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (data(0, b"x"), frames.PROTOCOL_ERROR),
        (data(3, b"x"), frames.PROTOCOL_ERROR),  # a stream that was not begun
        (data(2, b"x"), frames.PROTOCOL_ERROR),  # a server's number
        (frames.frame(frames.HEADERS, 5, 3, b"\x88"), frames.PROTOCOL_ERROR),
        (frames.frame(frames.HEADERS, 5, 1, b"\xff\xff\xff\xff\xff\xff\xff"), frames.COMPRESSION_ERROR),
        (frames.frame(frames.HEADERS, 5, 1, b"\xbe"), frames.COMPRESSION_ERROR),  # of a table there is not
        (frames.frame(frames.HEADERS, 5, 1, b"\x3f\xe1\x1f\x88"), frames.COMPRESSION_ERROR),  # which grows
        (frames.frame(frames.HEADERS, 1, 1, b"") + frames.window_update(0, 1), frames.PROTOCOL_ERROR),
        (frames.frame(frames.CONTINUATION, 4, 1, b"\x88"), frames.PROTOCOL_ERROR),
        (
            frames.frame(frames.HEADERS, 1, 1, b"")
            + frames.frame(frames.CONTINUATION, 0, 1, bytes(16_000)) * 3,
            frames.ENHANCE_YOUR_CALM,
        ),
        (b"\x00\x40\x01\x00\x00\0\0\0\x01", frames.FRAME_SIZE_ERROR),
        (frames.frame(frames.PING, 0, 0, b"short"), frames.FRAME_SIZE_ERROR),
        (frames.frame(frames.SETTINGS, 0, 0, b"12345"), frames.FRAME_SIZE_ERROR),
        (frames.frame(frames.GOAWAY, 0, 0, b"short"), frames.FRAME_SIZE_ERROR),
        (frames.frame(frames.RST_STREAM, 0, 1, b"short"), frames.FRAME_SIZE_ERROR),
        (frames.reset(3, 8), frames.PROTOCOL_ERROR),
        (frames.settings({frames.WINDOW_SETTING: 1 << 31}), frames.FLOW_CONTROL_ERROR),
        (frames.settings({frames.FRAME_SETTING: 100}), frames.PROTOCOL_ERROR),
        (frames.window_update(0, 0), frames.FLOW_CONTROL_ERROR),
        (frames.window_update(1, frames.MAX_WINDOW), frames.FLOW_CONTROL_ERROR),
        (frames.window_update(7, 1), frames.PROTOCOL_ERROR),
        (frames.frame(frames.PUSH_PROMISE, 4, 1, bytes(8)), frames.PROTOCOL_ERROR),
        (frames.frame(frames.HEADERS, 0xD, 1, b"\xff\x88"), frames.PROTOCOL_ERROR),  # padding beyond it
        (frames.frame(frames.HEADERS, 0x25, 1, b"\x88"), frames.FRAME_SIZE_ERROR),  # a priority that is cut
        (HEAD + data(1, b"", 0) * (both.MAX_CONTROL + 2), frames.ENHANCE_YOUR_CALM),
        (frames.frame(frames.PING, 0, 0, bytes(8)) * (both.MAX_CONTROL + 2), frames.ENHANCE_YOUR_CALM),
        (frames.settings({}) * (both.MAX_CONTROL + 2), frames.ENHANCE_YOUR_CALM),
        (frames.frame(200, 0, 0) * (both.MAX_CONTROL + 2), frames.ENHANCE_YOUR_CALM),
        (
            frames.frame(frames.HEADERS, 4, 1, b"\x08\x03103") * (both.MAX_CONTROL + 2),
            frames.ENHANCE_YOUR_CALM,
        ),
    ],
)
async def test_what_breaks_the_protocol_ends_the_connection(sent: bytes, code: int) -> None:
    ended = asyncio.Event()

    async def speak(peer: Peer) -> None:
        if ended.is_set():
            await echo(peer)
        await peer.greet()
        await peer.request()
        peer.send(sent)
        await peer.ends_with(code)
        ended.set()

    async with talking(speak) as (channel, _):
        with pytest.raises(BrokenOff, match=frames.error_name(code)):
            await ask(channel, most=64 << 20)
        await asyncio.wait_for(ended.wait(), 10)
        assert (await ask(channel, b"next")).body == b"next"


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 11), st.integers(0, 255), st.sampled_from([0, 1, 2, 3]), st.binary(max_size=40)
        )
    )
)
def test_any_frames_end_in_an_answer_or_a_clear_error(sent: list[tuple[int, int, int, bytes]]) -> None:
    async def run() -> None:
        async def speak(peer: Peer) -> None:
            await peer.greet()
            await peer.request()
            peer.send(*(frames.frame(*one) for one in sent))
            await peer.writer.drain()

        async with talking(speak) as (channel, _):
            with suppress(BrokenOff, Unreachable):
                await ask(channel)

    asyncio.run(run())


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_end_in_an_answer_or_a_clear_error(sent: bytes) -> None:
    async def run() -> None:
        async def speak(peer: Peer) -> None:
            peer.send(sent)
            await peer.writer.drain()

        async with talking(speak) as (channel, _):
            with pytest.raises(Unreachable):
                await ask(channel)

    asyncio.run(run())


# --- connecting -------------------------------------------------------------------------------------------


async def test_a_server_that_speaks_http_1() -> None:
    async def speak(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        await peer.reader.read()

    async with talking(speak) as (channel, _):
        with pytest.raises(Unreachable, match=r"speaks HTTP/1\.1"):
            await ask(channel)


async def test_a_server_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "CONNECT_S", 0.1)
    left = asyncio.Event()

    async def speak(peer: Peer) -> None:
        await peer.reader.read()
        left.set()

    async with talking(speak) as (channel, _):
        with pytest.raises(Unreachable, match="said nothing"):
            await ask(channel)
        await asyncio.wait_for(left.wait(), 5)


async def test_nobody_listens() -> None:
    async with speaking(echo) as listening:
        pass
    with pytest.raises(Unreachable):
        await ask(Channel("127.0.0.1", listening.port, None))


async def test_all_that_wait_for_a_connection_hear_why_there_is_none() -> None:
    async with speaking(echo) as listening:
        pass
    channel = Channel("127.0.0.1", listening.port, None)
    found = await asyncio.gather(*(ask(channel) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(one, Unreachable) for one in found)


async def test_one_that_stops_waiting_for_a_connection_stops_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on = asyncio.Event()

    async def speak(peer: Peer) -> None:
        await go_on.wait()
        await echo(peer)

    async with talking(speak) as (channel, listening):
        tasks = [asyncio.create_task(ask(channel, b"%d" % number)) for number in range(3)]
        await until(lambda: listening.connections == 1)
        tasks[0].cancel()
        await asyncio.wait({tasks[0]})
        go_on.set()
        assert [(await task).body for task in tasks[1:]] == [b"1", b"2"]
        assert listening.connections == 1


async def test_idle_connections_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "IDLE_S", 0.05)
    ended = asyncio.Event()

    async def speak(peer: Peer) -> None:
        await peer.greet()
        stream, _, body = await peer.request()
        peer.send(peer.answer(stream, body))
        await peer.ends_with(frames.NO_ERROR)
        ended.set()

    async with talking(speak) as (channel, _):
        await ask(channel)
        await asyncio.wait_for(ended.wait(), 5)


async def test_a_closed_channel_lets_requests_end() -> None:
    go_on = asyncio.Event()

    async def speak(peer: Peer) -> None:
        await peer.greet()
        stream, _, body = await peer.request()
        go_on.set()
        await asyncio.sleep(0.05)
        peer.send(peer.answer(stream, body))
        await peer.ends_with(frames.NO_ERROR)

    async with talking(speak) as (channel, _):
        asking = asyncio.create_task(ask(channel, b"x"))
        await go_on.wait()
        channel.close()
        assert (await asking).body == b"x"
        with pytest.raises(Unreachable):
            await ask(channel)


async def test_streams_are_numbered_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "LAST_STREAM", 5)
    async with talking(echo) as (channel, listening):
        for count in (1, 1, 1, 2):
            assert (await ask(channel, b"x")).body == b"x"
            assert listening.connections == count


def test_the_time_for_connecting_is_one() -> None:
    assert channels.CONNECT_S == dial.CONNECT_S
