"""A process that the supervisor starts by module name, and how it ended in words."""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Child:
    """A running `python -m MODULE`; its output goes where the supervisor's goes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, module: str, arguments: Sequence[str], fds: Sequence[int]) -> Child:
        """Start it with the descriptors `fds` inherited, in a session of its own.

        A session of its own, so Ctrl-C reaches the supervisor alone, which then stops everything in order.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            module,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=tuple(fds),
            start_new_session=True,
        )
        return cls(process)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def wait(self) -> str:
        """Wait for its end; how it ended, in words."""
        return how_it_ended(await self._process.wait())

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def stop(self, patience: float) -> None:
        """End it: SIGTERM, and SIGKILL after `patience` seconds."""
        for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, None)):
            with suppress(ProcessLookupError):
                self._process.send_signal(number)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), seconds)
                return


def how_it_ended(code: int) -> str:
    """A process's return code in words."""
    if code >= 0:
        return f"it ended with exit code {code}"
    try:
        return f"it was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"it was killed by signal {-code}"


def raise_descriptor_limit() -> int:
    """Let this process and its children open as many descriptors as the system allows; how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
