"""Frames, and messages that only say what they may."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmind.nn.tensor import MAX_RANK
from wasmind.worker.wire import (
    MAX_FRAME,
    MAX_INLINE,
    MAX_TENSORS,
    VERSION,
    Cancel,
    Done,
    Failed,
    Fetch,
    Forget,
    Frames,
    FrameTooLargeError,
    Hello,
    Infer,
    Message,
    More,
    Place,
    Welcome,
    decode_to_edge,
    decode_to_worker,
    encode,
)

TO_WORKER = [
    Hello(VERSION, 1 << 20),
    Infer(1, 1 << 62, ((1, 4), ()), (b"abcd", 4096), (None, Place(8192, 16))),
    Infer(1, 0, (), ()),
    Infer(2, 5, ((3,),), (b"abc",), (), 9),
    Forget(9),
    Fetch(7, (None, Place(0, 5))),
    Cancel((1 << 63) - 1),
]
TO_EDGE = [
    Welcome(VERSION, 4),
    Done(3, ((2, 3), ()), (None, b"\x00"), 10, 20, 8),
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


def test_a_call_that_keeps_to_the_limits_fits_into_a_frame() -> None:
    most = (1 << 63) - 1
    dims = (most,) * MAX_RANK
    shapes = (dims,) * MAX_TENSORS
    inputs = (bytes(MAX_INLINE), *(most for _ in range(MAX_TENSORS - 1)))
    outputs = (bytes(MAX_INLINE), *(None for _ in range(MAX_TENSORS - 1)))
    places = tuple(Place(most, most) for _ in range(MAX_TENSORS))
    words = "\U0001f600" * (32 << 10)
    for message in (
        Infer(most, most, shapes, inputs, places),
        Done(most, shapes, outputs, most, most, most),
        Failed(most, "x" * 64, words, words, words),
        More(most, (most,) * MAX_TENSORS),
    ):
        assert len(encode(message)) <= MAX_FRAME


@pytest.mark.parametrize(
    "body",
    [
        [1, 3, [[-1]], [b""], 1, 2, 1],
        [1, 3, [[2**63]], [b""], 1, 2, 1],
        [1, 3, [[1] * 33], [b""], 1, 2, 1],
        [1, 3, [[1]], [bytes(MAX_INLINE + 1)], 1, 2, 1],
        [1, 3, [[]] * (MAX_TENSORS + 1), [], 1, 2, 1],
        [1, -3, [], [], 1, 2, 1],
        [1, 3, [], [], 1, 2],
        [1, 3, [], [], 1, 2, 1, 1],
        [1, 3, [[1.5]], [b""], 1, 2, 1],
        [1, 3, [["N"]], [b""], 1, 2, 1],
        [1, 3, [[1]], ["text"], 1, 2, 1],
        [1, 3, [[1]], [7], 1, 2, 1],
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
        assert all(0 <= dim < 2**63 for dims in found.dims for dim in dims)
