"""What a guest writes to stderr, as records of its function's log: escaped, cut into lines, capped."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wasmind.telemetry.logs import Logger

MAX_LINE = 4096
"""Bytes of one record; a longer line goes on in the next record."""


class LogBudget:
    """How much one function may log in this process: a bucket of bytes that fills at a steady rate."""

    __slots__ = ("_left", "_rate", "_then", "_top")

    def __init__(self, rate: float = 64 << 10, burst: float = 1 << 20) -> None:
        """`rate` is in bytes per second, `burst` in bytes."""
        self._rate = rate
        self._top = self._left = burst
        self._then = monotonic()

    def take(self, size: int) -> bool:
        """Whether `size` more bytes fit; they are spent then."""
        now = monotonic()
        self._left = min(self._top, self._left + (now - self._then) * self._rate)
        self._then = now
        if size > self._left:
            return False
        self._left -= size
        return True


class FunctionLog:
    """One request's stderr."""

    __slots__ = ("_dropped", "_left", "_logger", "_partial")

    def __init__(
        self, logger: Logger, function: str, request_id: str, budget: LogBudget, limit: int = 64 << 10
    ) -> None:
        """`limit` is the bytes this one request may log; `budget` is its function's, over all requests."""
        self._logger = (logger, function, request_id, budget)
        self._left = limit
        self._partial = bytearray()
        self._dropped = 0

    def write(self, data: bytes | memoryview) -> None:
        """Take what the guest wrote; whole lines become records at once."""
        size = len(data)
        if size > self._left:
            self._dropped += size - self._left
            data = data[: self._left]
        self._left -= len(data)
        self._partial += data
        if b"\n" in self._partial or len(self._partial) >= MAX_LINE:
            *lines, rest = bytes(self._partial).split(b"\n")
            self._partial[:] = rest
            for line in lines:
                self._records(line)
            while len(self._partial) >= MAX_LINE:
                self._records(bytes(self._partial[:MAX_LINE]))
                del self._partial[:MAX_LINE]

    def close(self) -> None:
        """Record the last line, and how much was left out. To be called once, at the guest's end."""
        if self._partial:
            self._records(bytes(self._partial))
            self._partial.clear()
        if self._dropped:
            logger, function, request_id, _ = self._logger
            logger.warning(
                "log cut short", function=function, request_id=request_id, dropped_bytes=self._dropped
            )
            self._dropped = 0

    def _records(self, line: bytes) -> None:
        logger, function, request_id, budget = self._logger
        for start in range(0, len(line), MAX_LINE):
            piece = line[start : start + MAX_LINE]
            if not budget.take(len(piece)):
                self._dropped += len(line) - start
                return
            text = piece.decode("utf-8", "backslashreplace")
            logger.info(text, function=function, request_id=request_id, stream="stderr")
