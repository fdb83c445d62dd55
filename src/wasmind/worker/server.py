"""The model worker's loop: frames in, batches through the framework, answers out."""

from __future__ import annotations

import os
import select
import threading
import time
from typing import TYPE_CHECKING

import msgspec

from wasmind.worker.call import Call, company
from wasmind.worker.connection import BrokenConnectionError, Connection
from wasmind.worker.spec import LEAVE
from wasmind.worker.watch import Watch, die
from wasmind.worker.wire import CANCELLED, Fetch, Forget, Hello, Infer

if TYPE_CHECKING:
    import socket

    from wasmind.worker.batcher import Queue
    from wasmind.worker.call import Company
    from wasmind.worker.generations import Generations
    from wasmind.worker.inference import Runner
    from wasmind.worker.wire import ToWorker

_FOREVER = -1.0
_LAST_CALLS = 0.05


class Server:
    """Serves connections with as many threads as there are instances.

    The threads take turns in leading: the leader waits for frames, queues calls, takes a batch, lets the next
    one lead, and runs it. So with one instance a call is read, run and answered by one thread, without a
    hand-over.
    """

    def __init__(
        self,
        listener: socket.socket,
        control: socket.socket,
        runners: list[Runner],
        queue: Queue[Call],
        *,
        largest: int,
        run_limit_ms: float,
        company: Company = company,
        generations: Generations | None = None,
    ) -> None:
        self._listener = listener
        self._control = control
        self._runners = runners
        self._queue = queue
        self._generations = generations
        self._batched = largest > 1
        self._company = company
        self._lanes = len(runners) * largest
        self._connections: dict[int, Connection] = {}
        self._leading = threading.Lock()
        self._ending = False
        self._leaving = False
        self._watch = Watch(runners, run_limit_ms, self._read_aside)
        self._threads = [
            threading.Thread(target=self._work, args=(runner,), name=f"instance-{index}")
            for index, runner in enumerate(runners[1:], 1)
        ]
        self._started = threading.Event()
        self._epoll = select.epoll()
        self._poll = self._epoll.poll
        self._epoll.register(listener, select.EPOLLIN)
        self._epoll.register(control, select.EPOLLIN)

    def prepare(self) -> None:
        """Make all threads; none is made later."""
        self._watch.start()
        for thread in self._threads:
            thread.start()

    def serve(self) -> None:
        """Serve until the parent says to end and all is answered, or until the parent is gone."""
        self._listener.setblocking(False)
        self._control.setblocking(False)
        self._started.set()
        self._work(self._runners[0])
        for thread in self._threads:
            thread.join()

    def _work(self, runner: Runner) -> None:
        """One thread's life. What nobody foresaw ends the process: half of one would not serve."""
        self._started.wait()
        try:
            while True:
                with self._leading:
                    calls = self._next()
                if not calls:
                    return
                if self._watch.asleep:
                    self._watch.wake()
                runner.run(calls)
        except BaseException:  # noqa: BLE001 - as said
            die()

    def _next(self) -> list[Call]:
        """Wait for the next batch; none at the end. The caller leads."""
        queue = self._queue
        while True:
            due = queue.due()
            if due is None and self._is_over():
                return []
            self._read(due / 1e9 if due is not None else _LAST_CALLS if self._ending else _FOREVER)
            calls = queue.take()
            if calls:
                return calls

    def _is_over(self) -> bool:
        """Whether it is to end, and no edge waits for an answer, has outputs to fetch or a generation under
        way, or, where each is to leave by itself, is still connected.
        """
        if not self._ending:
            return False
        if self._leaving:
            return not self._connections
        if self._generations is not None and self._generations.under_way:
            return False
        return not any(connection.calls for connection in self._connections.values())

    def _read_aside(self) -> None:
        """Read frames while every thread runs, so that a cancellation reaches a run under way."""
        if self._leading.acquire(blocking=False):
            try:
                self._read(0.0)
            finally:
                self._leading.release()

    def _read(self, timeout: float) -> None:
        for fd, events in self._poll(timeout):
            connection = self._connections.get(fd)
            if connection is not None:
                self._handle(connection, events)
            elif fd == self._listener.fileno():
                self._accept()
            elif fd == self._control.fileno():
                self._obey()

    def _accept(self) -> None:
        try:
            sock, _address = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        connection = Connection(sock, self._lanes, self._watch_for_room)
        self._connections[connection.fd] = connection
        self._epoll.register(connection.fd, select.EPOLLIN)

    def _obey(self) -> None:
        """The parent says: end, or: leave, and then it may say: end. If it is gone, nobody needs answers."""
        word = self._control.recv(64)
        if not word:
            os._exit(0)  # other threads may be in the middle of a run
        if not self._ending:
            self._ending = True
            self._epoll.unregister(self._listener)
        self._leaving = word == LEAVE
        if not self._leaving:
            self._epoll.unregister(self._control)

    def _watch_for_room(self, connection: Connection, wanted: bool) -> None:
        self._epoll.modify(connection.fd, select.EPOLLIN | (select.EPOLLOUT if wanted else 0))

    def _handle(self, connection: Connection, events: int) -> None:
        try:
            if events != select.EPOLLIN and events & select.EPOLLOUT:
                connection.flush()
            for message in connection.read():
                if message.__class__ is Infer:
                    call = connection.calls[message.call] = Call(connection, message, time.monotonic_ns())
                    if self._batched:
                        call.rows, call.group = self._company(message)
                    self._queue.add(call)
                else:
                    self._receive(connection, message)
        except (BrokenConnectionError, OSError, msgspec.MsgspecError, ValueError):
            self._drop(connection)

    def _receive(self, connection: Connection, message: ToWorker) -> None:
        if isinstance(message, Hello):
            raise BrokenConnectionError("it said Hello twice")
        if isinstance(message, Forget):
            if self._generations is not None:
                self._generations.forget(connection, message.generation)
            return
        known = connection.calls.get(message.call)
        if known is None:
            return  # its answer crossed this message
        if isinstance(message, Fetch):
            known.fetch(message.places)
            return
        known.cancel()
        if not known.left:
            self._queue.drop(known)
            known.fail(CANCELLED, "the call was cancelled")

    def _drop(self, connection: Connection) -> None:
        """Forget a connection and all that it waits for."""
        self._epoll.unregister(connection.fd)
        del self._connections[connection.fd]
        connection.close()
        for call in list(connection.calls.values()):
            call.cancelled = True
            self._queue.drop(call)
        if self._generations is not None:
            self._generations.forget_all(connection)
