"""One edge worker's connection, as the model worker sees it."""

from __future__ import annotations

import os
import socket
import threading
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from wasmind.worker.arena import Mapping
from wasmind.worker.wire import VERSION, Frames, Hello, Welcome, decode_to_worker, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wasmind.worker.call import Call
    from wasmind.worker.runtimes.base import Array
    from wasmind.worker.wire import Done, Failed, Place, ToEdge, ToWorker

READ = 64 << 10
MAX_UNSENT = 64 << 20
_REMEMBERED = 256


class BrokenConnectionError(Exception):
    """The edge closed it, or sent what no edge sends."""


class Connection:
    """Frames in and out, and arrays over the arena.

    Reading is done by the thread that leads; answers may come from any, so sending has a lock.
    """

    def __init__(
        self, sock: socket.socket, lanes: int, wants_write: Callable[[Connection, bool], None]
    ) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.fd = sock.fileno()
        self._receive = sock.recv
        self._send = sock.send
        self.calls: dict[int, Call] = {}
        """Calls that are not answered yet, and those that wait for a `Fetch`."""
        self.closed = False
        self._frames = Frames()
        self._arena: Mapping | None = None
        self._arrays: dict[tuple[int, np.dtype[Any], tuple[int, ...]], Array] = {}
        self._unsent = bytearray()
        self._sending = threading.Lock()
        self._lanes = lanes
        self._wants_write = wants_write

    def read(self) -> Sequence[ToWorker]:
        """The messages that have come. Raises BrokenConnectionError, MsgspecError, ValueError, OSError."""
        if self._arena is None:
            return self._greet()
        try:
            data = self._receive(READ)
        except (BlockingIOError, InterruptedError):
            return ()
        if not data:
            raise BrokenConnectionError
        bodies = self._frames.feed(data)
        return (decode_to_worker(bodies[0]),) if len(bodies) == 1 else list(map(decode_to_worker, bodies))

    def _greet(self) -> list[ToWorker]:
        """The first bytes carry `Hello` and the arena's descriptor."""
        data, fds, _flags, _address = socket.recv_fds(self.sock, READ, 1)
        if not data:
            raise BrokenConnectionError
        messages = [decode_to_worker(body) for body in self._frames.feed(data)]
        hello = messages[0] if messages else None
        if not isinstance(hello, Hello) or len(fds) != 1 or hello.version != VERSION:
            for fd in fds:
                os.close(fd)
            raise BrokenConnectionError(f"it did not begin with an arena and Hello in version {VERSION}")
        self._arena = Mapping(fds[0], hello.arena)
        self.send(Welcome(VERSION, self._lanes))
        return messages[1:]

    def answer(self, message: Done | Failed) -> None:
        """End a call. Only the first of two answers counts: a cancellation may cross the end of a run."""
        if self.calls.pop(message.call, None) is not None:
            self.send(message)

    def send(self, message: ToEdge) -> None:
        """Send a message, or keep what the edge does not take yet. Never blocks, never fails."""
        frame = encode(message)
        with self._sending:
            sent = 0
            if not self._unsent:
                try:
                    sent = self._send(frame)
                except (BlockingIOError, InterruptedError):
                    sent = 0
                except OSError:
                    return  # it is closed, or reading will tell that it is broken
            if sent != len(frame):
                self._keep(frame[sent:])

    def _keep(self, rest: bytes) -> None:
        self._unsent += rest
        if not self.closed:
            self._wants_write(self, True)

    def flush(self) -> None:
        """Send more of what was kept. Raises BrokenConnectionError when the edge takes too little."""
        with self._sending:
            try:
                sent = self.sock.send(self._unsent)
            except (BlockingIOError, InterruptedError):
                sent = 0
            del self._unsent[:sent]
            if len(self._unsent) > MAX_UNSENT:
                raise BrokenConnectionError("the edge does not read its answers")
            if not self._unsent:
                self._wants_write(self, False)

    def close(self) -> None:
        """Close it. The arena lives on while a run uses it."""
        with self._sending:
            self.closed = True
            self.sock.close()

    def array_at(self, offset: int, dtype: np.dtype[Any], dims: tuple[int, ...]) -> Array:
        """The tensor at `offset` of the arena, in place. The same gives the same object, cheap to bind.

        Raises ValueError if it is not within the arena.
        """
        key = (offset, dtype, dims)
        found = self._arrays.get(key)
        if found is None:
            arena = self._arena
            length = prod(dims) * dtype.itemsize
            if arena is None or not arena.holds(offset, length):
                raise ValueError(f"{length} bytes at {offset} are not within the arena")
            if len(self._arrays) >= _REMEMBERED:
                self._arrays.clear()
            raw = arena.memory[offset : offset + length]
            found = self._arrays[key] = np.frombuffer(raw, dtype).reshape(dims)
        return found

    def write(self, place: Place, data: memoryview) -> None:
        """Copy an output to its place. Raises ValueError if it does not fit there."""
        arena = self._arena
        if arena is None or len(data) > place.length or not arena.holds(place.offset, len(data)):
            raise ValueError(f"an output of {len(data)} bytes does not fit into its place of {place.length}")
        arena.memory[place.offset : place.offset + len(data)] = data
