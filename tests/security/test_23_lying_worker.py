"""Row 23: a worker lies to its host. Its calls fail, its connection ends, and nothing else notices."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.liars import SIGNATURE, Den, Liar, den
from wasmind.backends.call import Call
from wasmind.backends.link import Link
from wasmind.errors import ModelDied, NnError, RuntimeFailed
from wasmind.nn.tensor import Tensor, TensorType, byte_length
from wasmind.worker.shapes import Shapes
from wasmind.worker.wire import (
    MAX_FRAME,
    Done,
    Failed,
    Fetch,
    Frames,
    FrameTooLargeError,
    Infer,
    More,
    Place,
    Welcome,
    decode_to_edge,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wasmind.backends.leases import ProcessOutputs
    from wasmind.backends.process import ProcessBackend
    from wasmind.worker.wire import ToEdge


def done(number: int, *outputs: tuple[tuple[int, ...], bytes | None]) -> Done:
    """An answer of these outputs: shape, and bytes or None for "in its place"."""
    return Done(number, tuple(dims for dims, _ in outputs), tuple(data for _, data in outputs), 1, 2, 1)


Z = (0, 2), b""


def raw(body: object) -> bytes:
    packed = msgspec.msgpack.encode(body)
    return len(packed).to_bytes(4, "little") + packed


def call(backend: ProcessBackend, size: int = 5000) -> asyncio.Task[ProcessOutputs]:
    loop = asyncio.get_running_loop()
    x = Tensor(TensorType.U8, (size,), bytes(size))
    return loop.create_task(backend.infer((x,), loop.time() + 5, "t"))


async def truthful(backend: ProcessBackend, place: Den) -> None:
    """The backend connects again, and a worker that tells the truth is believed."""
    task = call(backend)
    worker = await place.meet()
    asked = await worker.asked()
    worker.say(done(asked.call, ((5000,), None), Z))
    outputs = await task
    assert outputs.tensors[0].dims == (5000,)
    outputs.release()


async def gone(worker: Liar) -> None:
    """The backend has closed the connection."""
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            await worker.hear()


LIES: dict[str, Callable[[Infer], list[ToEdge | bytes]]] = {
    "an output longer than its place": lambda c: [done(c.call, ((5001,), None), Z)],
    "an output of 2^62 elements": lambda c: [done(c.call, ((1 << 62,), None), Z)],
    "dimensions whose product wraps": lambda c: [done(c.call, ((1 << 32, 1 << 32, 1), None), Z)],
    "an output where it had no place": lambda c: [done(c.call, ((5000,), None), ((1, 2), None))],
    "fewer inline bytes than the shape takes": lambda c: [done(c.call, ((5000,), None), ((3, 2), bytes(23)))],
    "more inline bytes than the shape takes": lambda c: [done(c.call, ((5000,), None), ((3, 2), bytes(25)))],
    "too few outputs": lambda c: [done(c.call, ((5000,), None))],
    "too many outputs": lambda c: [done(c.call, ((5000,), None), Z, Z)],
    "no outputs": lambda c: [done(c.call)],
    "more shapes than outputs": lambda c: [Done(c.call, ((5000,), (0, 2)), (None,), 1, 2, 1)],
    "more outputs than shapes": lambda c: [Done(c.call, ((5000,),), (None, b""), 1, 2, 1)],
    "an answer to a call that was never made": lambda c: [done(99, Z, Z)],
    "a failure of a call that was never made": lambda c: [Failed(99, "runtime-failed", "words")],
    "a need of a call that was never made": lambda c: [More(99, (0, 1))],
    "needs of the wrong number of outputs": lambda c: [More(c.call, (1, 1, 1))],
    "a need told twice": lambda c: [More(c.call, (0, 8)), More(c.call, (0, 8))],
    "a second welcome": lambda c: [Welcome(1, 1)],
    "a welcome of another version": lambda c: [Welcome(2, 1)],
    "a frame that is too large": lambda c: [(MAX_FRAME + 1).to_bytes(4, "little")],
    "a frame of 4 GiB": lambda c: [b"\xff\xff\xff\xff"],
    "no MessagePack": lambda c: [b"\x03\0\0\0\xc1\xc1\xc1"],
    "an empty frame": lambda c: [bytes(4)],
    "an unknown message": lambda c: [raw([7, 1, 2])],
    "a message of the edge": lambda c: [encode(Fetch(c.call, ()))],
    "a negative dimension": lambda c: [raw([1, c.call, [[-5000], [0, 2]], [None, b""], 1, 2, 1])],
    "a rank of 40": lambda c: [raw([1, c.call, [[1] * 40, [0, 2]], [None, b""], 1, 2, 1])],
    "a dimension that is no integer": lambda c: [raw([1, c.call, [["5000"], [0, 2]], [None, b""], 1, 2, 1])],
    "words that are no UTF-8": lambda c: [
        b"\x0c\0\0\0" + b"\x95\x02\x01\xa1\xff\xa1\xff\xc0\xc0\xc0\xc0\xc0"
    ],
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_lie_ends_the_connection_and_fails_its_calls(tmp_path: Path, lie: str) -> None:
    async with den(tmp_path) as (backend, place):
        first, second = call(backend), call(backend)
        worker = await place.meet()
        asked = await worker.asked()
        await worker.asked()
        worker.say(*LIES[lie](asked))
        for task in (first, second):
            with pytest.raises(ModelDied, match="not to be believed"):
                await task
        await gone(worker)
        await truthful(backend, place)


async def test_a_frame_that_breaks_off_fails_its_call_as_a_death(tmp_path: Path) -> None:
    async with den(tmp_path) as (backend, place):
        task = call(backend)
        worker = await place.meet()
        asked = await worker.asked()
        worker.say(encode(done(asked.call, ((5000,), None), Z))[:-3])
        worker.close()
        with pytest.raises(ModelDied, match="process died"):
            await task
        await truthful(backend, place)


async def test_the_same_answer_twice_is_a_lie_that_does_not_hurt_the_first(tmp_path: Path) -> None:
    async with den(tmp_path) as (backend, place):
        first, second = call(backend), call(backend)
        worker = await place.meet()
        asked = await worker.asked()
        answer = done(asked.call, ((5000,), None), Z)
        worker.say(answer, answer)
        outputs = await first
        assert len(outputs.tensors[0].data) == 5000
        outputs.release()
        with pytest.raises(ModelDied, match="not to be believed"):
            await second


async def test_figures_and_shapes_that_cannot_be_checked_do_no_harm(tmp_path: Path) -> None:
    """The shape of an output is the worker's word; only its length matters, and that is held to the place."""
    async with den(tmp_path) as (backend, place):
        worker_task = asyncio.create_task(place.meet())
        for dims, huge in (((2500, 2), 2**63 - 1), ((1,) * 31 + (5000,), 0), ((0,), 5)):
            task = call(backend)
            worker = await worker_task
            asked = await worker.asked()
            worker.say(Done(asked.call, (dims, Z[0]), (None, Z[1]), huge, huge, huge))
            outputs = await task
            assert outputs.tensors[0].dims == dims
            outputs.release()
        assert backend._link is not None
        assert 2 <= backend._link.window <= 256


async def test_words_of_any_kind_only_fail_their_call(tmp_path: Path) -> None:
    async with den(tmp_path) as (backend, place):
        worker_task = asyncio.create_task(place.meet())
        for code in ("runtime-failed", "internal", "no such code", "model-not-found"):
            task = call(backend)
            worker = await worker_task
            asked = await worker.asked()
            worker.say(Failed(asked.call, code, "\x1b[31m" * 1000, "\u202e"))
            with pytest.raises(RuntimeFailed):
                await task


async def test_a_need_that_no_arena_can_meet_fails_its_call_alone(tmp_path: Path) -> None:
    async with den(tmp_path) as (backend, place):
        task = call(backend)
        worker = await place.meet()
        asked = await worker.asked()
        worker.say(More(asked.call, (0, 1 << 60)))
        with pytest.raises(NnError, match="shared memory"):
            await task
        assert (await worker.hear()).__class__.__name__ == "Cancel"
        worker.say(Failed(asked.call, "cancelled", ""))
        again = call(backend)
        asked = await worker.asked()
        worker.say(done(asked.call, ((5000,), None), Z))
        (await again).release()


async def test_the_worker_never_chooses_an_offset(tmp_path: Path) -> None:
    """What it writes beside its place is not what the call gets."""
    async with den(tmp_path) as (backend, place):
        task = call(backend)
        worker = await place.meet()
        asked = await worker.asked()
        (target, _) = asked.places
        assert isinstance(target, Place)
        worker.arena.memory[:] = b"\x07" * worker.arena.size
        worker.arena.memory[target.offset : target.offset + 5000] = b"\x05" * 5000
        worker.say(done(asked.call, ((5000,), None), Z))
        outputs = await task
        assert bytes(outputs.tensors[0].data) == b"\x05" * 5000
        outputs.release()


async def test_contents_that_change_after_the_answer_do_not_change_the_length(tmp_path: Path) -> None:
    async with den(tmp_path) as (backend, place):
        task = call(backend)
        worker = await place.meet()
        asked = await worker.asked()
        worker.say(done(asked.call, ((5000,), None), Z))
        outputs = await task
        worker.arena.memory[:] = b"\xff" * worker.arena.size
        assert len(bytes(outputs.tensors[0].data)) == 5000
        outputs.release()


async def test_one_that_lies_at_once_each_time_is_not_asked_again_and_again(tmp_path: Path) -> None:
    async with den(tmp_path) as (backend, place):
        backend.open()
        met = 0
        loop = asyncio.get_running_loop()
        end = loop.time() + 1.0
        with contextlib.suppress(TimeoutError):
            while loop.time() < end:
                async with asyncio.timeout_at(end):
                    liar = await place.meet(greet=False)
                liar.say(b"\xff" * 8)
                liar.close()
                met += 1
        assert 3 <= met <= 10


async def test_silence_costs_its_caller_no_more_than_the_deadline(tmp_path: Path) -> None:
    async with den(tmp_path) as (backend, place):
        await_meeting = asyncio.create_task(place.meet(greet=False))
        loop = asyncio.get_running_loop()
        x = Tensor(TensorType.U8, (5,), bytes(5))
        began = loop.time()
        with pytest.raises(NnError):
            await backend.infer((x,), began + 0.1, "t")
        assert loop.time() - began < 1
        await await_meeting


_message = st.one_of(
    st.binary(max_size=64),
    st.builds(
        Done,
        st.integers(0, 5),
        st.lists(st.lists(st.integers(0, 1 << 62), max_size=4).map(tuple), max_size=3).map(tuple),
        st.lists(st.none() | st.binary(max_size=16), max_size=3).map(tuple),
        st.integers(0, 2**62),
        st.integers(0, 2**62),
        st.integers(0, 2**62),
    ).map(encode),
    st.builds(Failed, st.integers(0, 5), st.text(max_size=8), st.text(max_size=8)).map(encode),
    st.builds(More, st.integers(0, 5), st.lists(st.integers(0, 1 << 40), max_size=3).map(tuple)).map(encode),
    st.builds(Welcome, st.integers(0, 2), st.integers(1, 99)).map(encode),
)


class Owner:
    def made(self, link: Link) -> None: ...
    def welcomed(self) -> None: ...
    def answered(self) -> None: ...
    def lost(self, link: Link, lie: str | None) -> None: ...


class Wire:
    closed = False

    def write(self, frame: bytes) -> None: ...

    def abort(self) -> None:
        self.closed = True


def checked(outputs: ProcessOutputs) -> None:
    for tensor in outputs.tensors:
        assert len(tensor.data) == byte_length(tensor.type, tensor.dims)
    outputs.release()


async def hear(said: list[bytes]) -> None:
    """Three calls under way, and a worker that says all this."""
    loop = asyncio.get_running_loop()
    link = Link(SIGNATURE, Shapes(SIGNATURE), 1 << 20, Owner())
    wire = Wire()
    link.connection_made(wire)  # type: ignore[arg-type]
    link.data_received(encode(Welcome(1, 4)))
    calls = [
        Call((Tensor(TensorType.U8, (size,), bytes(size)),), 1e9, "t", loop.create_future())
        for size in (10, 5000, 9000)
    ]
    assert all(link.send(made) for made in calls)
    for data in said:
        link.data_received(data)
    for made in calls:
        if not made.future.done():
            assert made.number in link.calls
        elif made.future.exception() is None:
            checked(made.future.result())
    if not link.calls:
        assert link.space.arena.used == 0
    if wire.closed:
        link.connection_lost(None)


@given(st.lists(_message, max_size=12))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_it_says_every_call_ends_and_all_memory_comes_back(said: list[bytes]) -> None:
    asyncio.run(hear(said))


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_a_stream_of_noise_is_refused_or_waits_for_more(parts: list[bytes]) -> None:
    frames = Frames()
    for part in parts:
        try:
            bodies = frames.feed(part)
        except FrameTooLargeError:
            return
        for body in bodies:
            try:
                decode_to_edge(body)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                return
