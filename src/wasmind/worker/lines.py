"""What a process writes, as lines that are harmless and not too long."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from wasmind.telemetry.escape import escape

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LINE = 4096
_READ = 64 << 10


class Lines:
    """Reads a pipe until its end, and hands on each line, escaped and cut to 4096 characters."""

    def __init__(self, pipe: int, log: Callable[[str], None]) -> None:
        """Takes `pipe` over."""
        os.set_blocking(pipe, False)
        self._pipe = pipe
        self._log = log
        self._rest = b""
        self._cut = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(pipe, self._read)

    def close(self) -> None:
        """Hand on what is there, and close the pipe."""
        while self._pipe >= 0:
            self._read(last=True)

    def _read(self, *, last: bool = False) -> None:
        try:
            data = os.read(self._pipe, _READ)
        except BlockingIOError:
            if not last:
                return
            data = b""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._end(line)
        if len(self._rest) > MAX_LINE:
            self._begin(self._rest)
            self._rest = b""
        if not data:
            if self._rest:
                self._end(self._rest)
            self._loop.remove_reader(self._pipe)
            os.close(self._pipe)
            self._pipe = -1

    def _begin(self, line: bytes) -> None:
        """Hand on as much as is wanted of a line whose end has not come."""
        if not self._cut:
            self._log(escape(line[:MAX_LINE].decode("utf-8", "replace").rstrip()))
        self._cut = True

    def _end(self, line: bytes) -> None:
        self._begin(line)
        self._cut = False
