"""Frames, and messages that only say what they may."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmind.worker.wire import (
    INLINE,
    MAX_FRAME,
    MAX_INLINE,
    MAX_TENSORS,
    VERSION,
    Answered,
    Cancel,
    Done,
    Failed,
    Fetch,
    Frames,
    FrameTooLargeError,
    Hello,
    Infer,
    Message,
    More,
    Place,
    Sent,
    Welcome,
    decode_to_edge,
    decode_to_worker,
    encode,
)

TO_WORKER = [
    Hello(VERSION, 1 << 20),
    Infer(1, 1 << 62, (Sent((1, 4), b"abcd"), Sent((), None, 4096)), (None, Place(8192, 16))),
    Fetch(7, (None, Place(0, 5))),
    Cancel((1 << 63) - 1),
]
TO_EDGE = [
    Welcome(VERSION, 4),
    Done(3, (Answered((2, 3), None), Answered((), b"\x00")), 10, 20, 8),
    Failed(4, "runtime-failed", "words", None, "do this"),
    More(5, (0, 1 << 40)),
]


@pytest.mark.parametrize("message", TO_WORKER, ids=lambda m: type(m).__name__)
def test_what_the_edge_says_arrives(message: Message) -> None:
    (body,) = Frames().feed(encode(message))
    assert decode_to_worker(body) == message


@pytest.mark.parametrize("message", TO_EDGE, ids=lambda m: type(m).__name__)
def test_what_the_worker_says_arrives(message: Message) -> None:
    (body,) = Frames().feed(encode(message))
    assert decode_to_edge(body) == message


@given(st.lists(st.binary(max_size=300), max_size=20), st.lists(st.integers(1, 50), min_size=1))
def test_a_stream_cut_anywhere_gives_the_same_frames(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(len(body).to_bytes(4, "little") + body for body in bodies)
    frames, found, position, turn = Frames(), [], 0, 0
    while position < len(stream):
        size = cuts[turn % len(cuts)]
        found += frames.feed(stream[position : position + size])
        position, turn = position + size, turn + 1
    assert found == bodies


def test_a_frame_that_announces_too_much_is_refused_before_it_comes() -> None:
    with pytest.raises(FrameTooLargeError, match=f"{MAX_FRAME + 1} bytes"):
        Frames().feed((MAX_FRAME + 1).to_bytes(4, "little"))


def test_the_largest_frame_is_taken() -> None:
    body = bytes(MAX_FRAME)
    frames = Frames()
    assert frames.feed(len(body).to_bytes(4, "little") + body[:-1]) == []
    assert frames.feed(body[-1:]) == [body]


def test_all_inline_bytes_of_a_call_fit_into_a_frame() -> None:
    inputs = tuple(Sent((INLINE,), bytes(INLINE)) for _ in range(MAX_INLINE // INLINE))
    places = tuple(Place((1 << 63) - 1, (1 << 63) - 1) for _ in range(MAX_TENSORS))
    assert len(encode(Infer(1, 1, inputs, places))) <= MAX_FRAME


@pytest.mark.parametrize(
    "body",
    [
        [1, 3, [[[-1], b""]], 1, 2, 1],
        [1, 3, [[[2**63], b""]], 1, 2, 1],
        [1, 3, [[[1] * 33, b""]], 1, 2, 1],
        [1, 3, [[[1], bytes(MAX_INLINE + 1)]], 1, 2, 1],
        [1, -3, [], 1, 2, 1],
        [1, 3, [], 1, 2],
        [1, 3, [], 1, 2, 1, 1],
        [1, 3, [[[1.5], b""]], 1, 2, 1],
        [1, 3, [[["N"], b""]], 1, 2, 1],
        [1, 3, [[[1], "text"]], 1, 2, 1],
        [2, 3, "x" * 65, "words", None, None],
        [3, 3, [-1]],
        [0, 1, 0],
        [0, 1, 1 << 17],
        [9, 1],
        {"call": 1},
        [],
        None,
        1,
    ],
    ids=repr,
)
def test_a_lie_in_shape_or_number_is_no_message(body: object) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_to_edge(msgspec.msgpack.encode(body))


@given(st.binary(max_size=200))
def test_noise_is_no_message_and_nothing_worse(noise: bytes) -> None:
    for decode in (decode_to_edge, decode_to_worker):
        try:
            message = decode(noise)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        assert isinstance(message, Message)


@given(st.sampled_from(TO_EDGE), st.data())
def test_a_message_with_bytes_changed_is_a_message_or_refused(message: Message, data: st.DataObject) -> None:
    body = bytearray(encode(message)[4:])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decode_to_edge(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return
    if isinstance(found, Done):
        assert all(0 <= dim < 2**63 for output in found.outputs for dim in output.dims)
