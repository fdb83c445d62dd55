"""A model worker that says what the test wants, for a backend that must not believe it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from wasmind.backends.process import ProcessBackend
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.worker.arena import Mapping
from wasmind.worker.spawn import listen
from wasmind.worker.wire import (
    VERSION,
    Frames,
    Hello,
    ToEdge,
    ToWorker,
    Welcome,
    decode_to_worker,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from wasmind.worker.wire import Infer

SIGNATURE = Signature(
    (TensorSpec("x", TensorType.U8, ("N",)),),
    (TensorSpec("y", TensorType.U8, ("N",)), TensorSpec("z", TensorType.F32, ("M", 2))),
)


class Liar:
    """The worker's end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.arena: Mapping
        self._frames = Frames()
        self._messages: list[ToWorker] = []

    async def greet(self, lanes: int = 1) -> None:
        """Take the arena and welcome the edge."""
        await _readable(self.sock)
        data, fds, _, _ = socket.recv_fds(self.sock, 1 << 16, 1)
        self._messages += [decode_to_worker(body) for body in self._frames.feed(data)]
        hello = self._messages.pop(0)
        assert isinstance(hello, Hello)
        self.arena = Mapping(fds[0], hello.arena)
        self.say(Welcome(VERSION, lanes))

    def say(self, *messages: ToEdge | bytes) -> None:
        """Send messages, or bytes as they are."""
        self.sock.send(b"".join(m if isinstance(m, bytes) else encode(m) for m in messages))

    async def hear(self) -> ToWorker:
        """The edge's next message."""
        while not self._messages:
            async with asyncio.timeout(5):
                data = await asyncio.get_running_loop().sock_recv(self.sock, 1 << 16)
            if not data:
                raise EOFError
            self._messages += [decode_to_worker(body) for body in self._frames.feed(data)]
        return self._messages.pop(0)

    async def asked(self) -> Infer:
        """The edge's next call."""
        message = await self.hear()
        assert message.__class__.__name__ == "Infer", message
        return message  # type: ignore[return-value]  # just asked

    def close(self) -> None:
        self.sock.close()


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(sock, ready.set_result, None)
    try:
        async with asyncio.timeout(5):
            await ready
    finally:
        loop.remove_reader(sock)


class Den:
    """Where a liar waits for connections."""

    def __init__(self, listener: socket.socket, address: Path) -> None:
        self.listener = listener
        self.address = address
        self._met: list[Liar] = []

    async def meet(self, *, greet: bool = True) -> Liar:
        """The next connection."""
        async with asyncio.timeout(5):
            sock, _ = await asyncio.get_running_loop().sock_accept(self.listener)
        sock.setblocking(False)
        liar = Liar(sock)
        self._met.append(liar)
        if greet:
            await liar.greet()
        return liar

    def close(self) -> None:
        for liar in self._met:
            with contextlib.suppress(OSError):
                liar.close()


@asynccontextmanager
async def den(
    directory: Path, signature: Signature = SIGNATURE, **settings: object
) -> AsyncIterator[tuple[ProcessBackend, Den]]:
    """A backend and the den that it connects to."""
    address = directory / "den.sock"
    with listen(address) as listener:
        listener.setblocking(False)
        backend = ProcessBackend(str(address), "liar", signature, **settings)  # type: ignore[arg-type]
        place = Den(listener, address)
        try:
            yield backend, place
        finally:
            await backend.close()
            place.close()
