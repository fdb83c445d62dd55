"""The life of a process that serves: from the supervisor's channel to its end."""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import socket
from typing import TYPE_CHECKING

import uvloop

from wasmind.node.channel import open_in_edge
from wasmind.node.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.node.messages import Snapshot, Start
    from wasmind.node.worker import Send, Serving

GC_THRESHOLDS = (20_000, 20, 50)
"""A request makes hundreds of objects and no cycles: Python's default would collect far too often."""


def serve(control: int, make: Callable[[Start, Snapshot, Send], Serving]) -> int:
    """Serve until the supervisor says `Drain`, hangs up or sends SIGTERM. Returns the exit status.

    `control` is the descriptor of this process's end of the channel; `make` makes what it serves.
    """
    _raise_descriptor_limit()
    gc.set_threshold(*GC_THRESHOLDS)
    uvloop.run(_run(control, make))
    return 0


async def _run(control: int, make: Callable[[Start, Snapshot, Send], Serving]) -> None:
    channel = await open_in_edge(socket.socket(fileno=control))
    worker = Worker(channel.send, make)
    _on_signals(worker.stop)
    try:
        await worker.run(channel.messages())
    finally:
        await channel.close()


def _on_signals(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


def _raise_descriptor_limit() -> None:
    """Each connection takes a descriptor."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
