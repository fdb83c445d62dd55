"""A guest's view of its surroundings: arguments, environment, standard streams."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from wasmind.guest_api.stdio import Sink, Source, seen

STDIN, STDOUT, STDERR = 0, 1, 2


class Wasi:
    """What a command is started with. Nothing else of the machine exists for it."""

    __slots__ = ("_environ", "_reading", "_variables", "arguments", "sinks", "sources", "stderr", "stdout")

    def __init__(
        self,
        stdin: Source,
        stdout: Sink,
        stderr: Sink,
        arguments: Sequence[bytes] = (),
        environ: Callable[[], Sequence[bytes]] = tuple,
    ) -> None:
        """`environ` gives `NAME=value` strings; it is called once, and only for a guest that asks."""
        self.stdout = stdout
        self.stderr = stderr
        self.sources: dict[int, Source] = {STDIN: stdin}
        """Open descriptors to read from."""
        self.sinks: dict[int, Sink] = {STDOUT: stdout, STDERR: stderr}
        """Open descriptors to write to."""
        self.arguments = arguments
        self._environ = environ
        self._variables: Sequence[bytes] | None = None
        self._reading: tuple[Source, asyncio.Task[None]] | None = None

    @property
    def environ(self) -> Sequence[bytes]:
        """The environment, as `NAME=value` strings."""
        if self._variables is None:
            self._variables = self._environ()
        return self._variables

    def is_open(self, fd: int) -> bool:
        """Whether a descriptor is open."""
        return fd in self.sources or fd in self.sinks

    def readable(self, source: Source) -> Awaitable[None]:
        """Wait until `source` has an answer for `take`."""
        if self._reading is not None and self._reading[0] is source:
            return self._reading[1]
        return source.wait()

    async def readable_within(self, source: Source, seconds: float | None) -> None:
        """As `readable`, but give up after a time. The wait goes on then: what it receives is not lost."""
        if self._reading is None or self._reading[0] is not source or self._reading[1].done():
            self._reading = (source, asyncio.ensure_future(source.wait()))
        task = self._reading[1]
        await asyncio.wait((task,), timeout=seconds)
        if task.done():
            self._reading = None
            task.result()

    def close(self) -> None:
        """End what still waits."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading[1].cancel()
            reading[1].add_done_callback(seen)
