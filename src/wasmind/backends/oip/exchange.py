"""One request to a server and its answer, by either version of HTTP, and how it fails."""

from __future__ import annotations

WORDS = 64 << 10
"""Bytes read of an answer that is a refusal."""


class Unreachable(Exception):
    """There is no connection, or the server said that it does nothing of the request; in words."""


class Untouched(Unreachable):
    """There was a connection, which takes no more requests: on another one it may be done."""


class BrokenOff(Exception):
    """The connection or its stream ended, or broke the protocol, before the answer was complete."""


class StreamReset(BrokenOff):
    """The server gave up this one answer."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code
        """HTTP/2's number for why."""


class TooMuch(Exception):
    """The answer is larger than was allowed."""


class Answer:
    """A server's answer: `headers` and `trailers` by lower-case name, of repeated ones the last."""

    __slots__ = ("body", "headers", "status", "trailers")

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body: bytes | bytearray = b""
        self.trailers: dict[bytes, bytes] = {}
