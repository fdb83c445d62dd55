"""The control process: started, watched, restarted, stopped last."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from wasmind.node.backoff import Backoff
from wasmind.node.child import Child
from wasmind.node.listen import listen
from wasmind.node.watched import watched
from wasmind.node.words import ControlSettings

if TYPE_CHECKING:
    from wasmind.config import Node
    from wasmind.node.state import StateDir
    from wasmind.telemetry.logs import Logger

STOP_SECONDS = 6.0


class Control:
    """Serves the node's API from a process of its own; nothing else depends on it."""

    def __init__(self, node: Node, state: StateDir, logger: Logger) -> None:
        """Takes the API's port. Raises NodeError."""
        (self._listener,) = listen(node.host, node.ports.api, "ports.api in [node]")
        self.port: int = self._listener.getsockname()[1]
        self._node = node
        self._state = state
        self._logger = logger
        self._backoff = Backoff()
        self._child: Child | None = None
        self._task: asyncio.Task[None] | None = None
        self.restarts = 0

    def run(self) -> None:
        """Start it, and keep it running until `stop`."""
        self._task = watched(self._keep_running())

    async def _keep_running(self) -> None:
        while True:
            self._backoff.born()
            words = await self._live()
            self.restarts += 1
            delay = self._backoff.died()
            self._logger.error("control process died", how=words, restart_in_seconds=round(delay, 2))
            await asyncio.sleep(delay)

    async def _live(self) -> str:
        lifeline, theirs = socket.socketpair()
        with lifeline:
            with theirs:
                settings = ControlSettings(
                    listen_fd=self._listener.fileno(),
                    lifeline_fd=theirs.fileno(),
                    state_dir=str(self._state.path),
                    metrics_dir=str(self._state.metrics),
                    header_timeout_ms=self._node.header_timeout_ms,
                    log=self._node.log,
                    log_level=self._node.log_level,
                )
                self._child = await Child.start(
                    "wasmind.control",
                    [msgspec.json.encode(settings).decode()],
                    [self._listener.fileno(), theirs.fileno()],
                )
            return await self._child.wait()

    async def stop(self) -> None:
        """End it."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._child:
            await self._child.stop(STOP_SECONDS)
        self._listener.close()
