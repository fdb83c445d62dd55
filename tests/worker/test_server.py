"""The worker's end of a connection: what it takes, what it drops, and that others do not notice."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from support.onnx_models import FLOAT, identity
from support.workers import standing
from wasmind.worker.arena import Arena
from wasmind.worker.wire import (
    VERSION,
    Cancel,
    Done,
    Failed,
    Fetch,
    Frames,
    Hello,
    Infer,
    Place,
    ToEdge,
    ToWorker,
    Welcome,
    decode_to_edge,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.workers import Standing

SIZE = 1 << 20
LATE = 1 << 62


class Edge:
    """A raw connection to a worker."""

    def __init__(self, standing: Standing, *, greet: bool = True) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        self.sock.connect(standing.address)
        self.arena = Arena(SIZE)
        self._frames = Frames()
        self._messages: list[ToEdge] = []
        if greet:
            self.send_with(Hello(VERSION, SIZE), self.arena.fd)
            assert self.receive() == Welcome(VERSION, 2)

    def send(self, *messages: ToWorker | bytes) -> None:
        self.sock.sendall(b"".join(m if isinstance(m, bytes) else encode(m) for m in messages))

    def send_with(self, message: ToWorker, *fds: int) -> None:
        socket.send_fds(self.sock, [encode(message)], fds)

    def receive(self) -> ToEdge:
        while not self._messages:
            data = self.sock.recv(1 << 16)
            if not data:
                raise EOFError
            self._messages += [decode_to_edge(body) for body in self._frames.feed(data)]
        return self._messages.pop(0)

    def is_dropped(self) -> bool:
        try:
            while True:
                self.receive()
        except (EOFError, ConnectionError):
            return True
        except TimeoutError:
            return False

    def close(self) -> None:
        self.sock.close()
        self.arena.close_descriptor()


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """y = x for f32 [N], two instances."""
    with standing(identity(FLOAT, ("N",)), tmp_path_factory.mktemp("server"), instances=2) as made:
        yield made


@pytest.fixture
def edge(worker: Standing) -> Iterator[Edge]:
    made = Edge(worker)
    yield made
    made.close()


def answered(edge: Edge, call: int = 77) -> bool:
    """Whether the connection serves."""
    edge.send(Infer(call, LATE, ((1,),), (b"abcd",)))
    message = edge.receive()
    return isinstance(message, Done) and (message.call, message.data) == (call, (b"abcd",))


def test_it_answers_inline_and_in_place(edge: Edge) -> None:
    assert answered(edge)
    x = np.arange(2000, dtype=np.float32)
    edge.arena.view(4096, 8000)[:] = x.tobytes()
    edge.send(Infer(5, LATE, ((2000,),), (4096,), (Place(65536, 8000),)))
    message = edge.receive()
    assert isinstance(message, Done)
    assert (message.dims, message.data) == (((2000,),), (None,))
    assert bytes(edge.arena.view(65536, 8000)) == x.tobytes()


def test_many_frames_in_one_write_are_all_answered(edge: Edge) -> None:
    calls = range(1, 201)
    edge.send(*(Infer(call, LATE, ((1,),), (b"abcd",)) for call in calls))
    assert sorted(edge.receive().call for _ in calls) == list(calls)  # type: ignore[union-attr]


def test_a_frame_in_many_writes_is_answered(edge: Edge) -> None:
    frame = encode(Infer(3, LATE, ((1,),), (b"abcd",)))
    for position in range(len(frame)):
        edge.send(frame[position : position + 1])
        time.sleep(0.0005)
    assert edge.receive().call == 3  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("dims", "data", "place"),
    [
        ((2,), b"abcd", None),
        ((0,), b"abcd", None),
        ((1 << 40,), 0, None),
        ((1 << 62,), 1 << 62, None),
        ((4,), SIZE - 15, None),
        ((2000,), 0, Place(SIZE, 8000)),
        ((2000,), 0, Place(1 << 62, 8000)),
    ],
    ids=["short", "long", "1 TiB", "beyond all", "over the end", "place at the end", "place beyond all"],
)
def test_bytes_that_are_not_there_fail_their_call(
    edge: Edge, dims: tuple[int, ...], data: bytes | int, place: Place | None
) -> None:
    edge.send(Infer(9, LATE, (dims,), (data,), (place,)))
    message = edge.receive()
    assert isinstance(message, Failed)
    assert message.call == 9
    assert answered(edge)


@pytest.mark.parametrize(
    ("shapes", "inputs", "places"), [(0, 1, 1), (1, 0, 1), (2, 2, 1), (1, 2, 0), (2, 1, 0), (1, 1, 2)]
)
def test_a_wrong_number_of_tensors_fails_its_call(edge: Edge, shapes: int, inputs: int, places: int) -> None:
    edge.send(Infer(9, LATE, ((1,),) * shapes, (b"abcd",) * inputs, (None,) * places))
    assert isinstance(edge.receive(), Failed)
    assert answered(edge)


def test_a_passed_deadline_is_answered_without_a_run(edge: Edge) -> None:
    edge.send(Infer(9, 1, ((1,),), (b"abcd",)))
    message = edge.receive()
    assert isinstance(message, Failed)
    assert message.code == "inference-timeout"


@pytest.mark.parametrize("message", [Cancel(12345), Fetch(12345, (None,))], ids=["cancel", "fetch"])
def test_what_concerns_no_call_is_passed_over(edge: Edge, message: ToWorker) -> None:
    edge.send(message)
    assert answered(edge)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xff\xff\xff",
        b"\x01\0\0\0\xc1",
        encode(Hello(VERSION, SIZE)),
        encode(Welcome(VERSION, 1)),
        bytes(4),
    ],
    ids=["4 GiB", "noise", "a second Hello", "an answer", "empty"],
)
def test_what_no_edge_says_ends_that_connection_alone(worker: Standing, edge: Edge, garbage: bytes) -> None:
    other = Edge(worker)
    other.send(garbage)
    assert other.is_dropped()
    other.close()
    assert answered(edge)


def unsealed() -> int:
    fd = os.memfd_create("loose")
    os.ftruncate(fd, SIZE)
    return fd


@pytest.mark.parametrize("case", ["no descriptor", "not sealed", "wrong size", "old version", "a call first"])
def test_a_connection_that_begins_badly_is_dropped(worker: Standing, edge: Edge, case: str) -> None:
    other = Edge(worker, greet=False)
    loose = unsealed()
    hello = Hello(VERSION, SIZE)
    if case == "no descriptor":
        other.send(hello)
    elif case == "not sealed":
        other.send_with(hello, loose)
    elif case == "wrong size":
        other.send_with(Hello(VERSION, 2 * SIZE), other.arena.fd)
    elif case == "old version":
        other.send_with(Hello(VERSION + 1, SIZE), other.arena.fd)
    else:
        other.send_with(Infer(1, LATE, (), ()), other.arena.fd)
    assert other.is_dropped()
    os.close(loose)
    other.close()
    assert answered(edge)


def test_connections_that_come_and_go_leave_nothing_behind(worker: Standing, edge: Edge) -> None:
    def descriptors() -> int:
        with open(f"/proc/{worker.pid}/stat", "rb") as file:
            assert file.read()
        return len(os.listdir(f"/proc/{worker.pid}/fd"))

    if os.geteuid() != 0:
        pytest.skip("nobody else may look into such a process")
    assert answered(edge)
    before = descriptors()
    for number in range(30):
        other = Edge(worker)
        other.send(Infer(1, LATE, ((1,),), (b"abcd",)))
        if number % 2:
            other.receive()
        other.close()
    assert answered(edge)
    assert descriptors() <= before + 1


def test_an_edge_that_does_not_read_its_answers_holds_up_nobody(worker: Standing, edge: Edge) -> None:
    deaf = Edge(worker)
    frame = encode(Infer(1, LATE, ((1000,),), (bytes(4000),)))
    deaf.sock.setblocking(False)
    sent = 0
    try:
        for _ in range(400):
            sent += deaf.sock.send(frame * 4)
    except BlockingIOError:
        pass
    assert sent > 100_000
    for _ in range(5):
        assert answered(edge)
    deaf.close()
    assert answered(edge)
