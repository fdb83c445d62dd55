"""Unary gRPC calls, as their application sees them: headers, a deadline, one message."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Any

from wasmind.httpd.http2 import Stream

if TYPE_CHECKING:
    import asyncio

    from wasmind.httpd.grpc import Connection

OK, CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED = 0, 1, 2, 3, 4
RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 8, 12, 13

_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])\Z")
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_CODINGS = {b"gzip": 31, b"deflate": 15}


class Refused(Exception):
    """A call is answered with a status in place of a message."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code
        self.words = words


class Call(Stream):
    """One call. Header names are in lower case."""

    __slots__ = (
        "connection",
        "data",
        "ended",
        "headers",
        "moved",
        "state",
        "task",
    )

    def __init__(self, connection: Connection, stream: int, headers: dict[bytes, bytes], room: int) -> None:
        super().__init__(stream, room)
        self.connection = connection
        self.headers = headers
        self.data = bytearray()
        self.ended = False
        """Whether the client has sent all."""
        self.moved = connection.server.loop.time()
        """When it last made progress."""
        self.state: Any = None
        """Its application's own."""
        self.task: asyncio.Task[None] | None = None

    @property
    def path(self) -> str:
        """The method: `/package.Service/Method`."""
        return self.headers.get(b":path", b"").decode("latin-1")

    def header(self, name: bytes) -> str | None:
        """A header's value."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def timeout(self) -> float | None:
        """Seconds that its client waits for the answer; None for ever. Raises Refused."""
        sent = self.headers.get(b"grpc-timeout")
        if sent is None:
            return None
        found = _TIMEOUT.match(sent)
        if found is None:
            raise Refused(INVALID_ARGUMENT, "grpc-timeout is malformed")
        return int(found[1]) * _UNITS[found[2]]

    def message(self, limit: int) -> bytes:
        """Its one message, at most `limit` bytes unpacked. Raises Refused."""
        data = self.data
        if len(data) < 5 or len(data) != 5 + int.from_bytes(data[1:5], "big"):
            raise Refused(INVALID_ARGUMENT, "the call has not exactly one whole message")
        message = bytes(memoryview(data)[5:])
        if not data[0]:
            return message
        window = _CODINGS.get(self.headers.get(b"grpc-encoding", b""))
        if window is None:
            raise Refused(UNIMPLEMENTED, "the message's encoding is not read here: use gzip, deflate or none")
        inflater = zlib.decompressobj(window)
        try:
            plain = inflater.decompress(message, limit + 1)
        except zlib.error as error:
            raise Refused(INVALID_ARGUMENT, f"the message cannot be unpacked: {error}") from error
        if len(plain) > limit:
            raise Refused(
                RESOURCE_EXHAUSTED, f"the message takes more than {limit} bytes when it is unpacked"
            )
        if not inflater.eof:
            raise Refused(INVALID_ARGUMENT, "the message ends too early")
        return plain
