"""One model as this worker reaches it: through one connection to its process, whichever functions use it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from wasmind.backends.process import ProcessBackend
from wasmind.edge.metered import MeteredBackend
from wasmind.errors import ModelUnavailable
from wasmind.nn.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from wasmind.node.messages import ModelEntry
    from wasmind.telemetry.figures import ModelMeter

GIVEN_UP = ("stopped", "failed", "quarantined")
"""States that do not end by themselves."""


class ServedModel:
    """A model with its state as the supervisor tells it. It connects as soon as the model is first ready."""

    __slots__ = ("_changed", "backend", "entry", "graph")

    def __init__(self, entry: ModelEntry, meter: ModelMeter) -> None:
        """`meter` counts its inferences."""
        self.entry = entry
        self.backend = ProcessBackend(
            entry.socket,
            entry.name,
            entry.signature,
            shared_memory=entry.shared_memory,
            queue=entry.queue,
            when_down=entry.when_down,
        )
        self.graph = Graph(entry.name, MeteredBackend(self.backend, meter), entry.deadline_ms / 1000)
        self._changed: asyncio.Future[None] | None = None
        self._pass_on(entry)

    def update(self, entry: ModelEntry) -> None:
        """Take its newest state."""
        if entry == self.entry:
            return
        self.entry = entry
        self._pass_on(entry)
        if self._changed is not None:
            self._changed.set_result(None)
            self._changed = None

    def resolve(self) -> Graph | Awaitable[Graph]:
        """The model as a graph, at once or when it is ready. Raises ModelUnavailable, also when awaited.

        A model that was ready before and restarts is given at once: its inferences wait by its policy.
        """
        entry = self.entry
        if entry.state in GIVEN_UP or (entry.state != "ready" and entry.when_down == "fail"):
            raise self._unavailable()
        return self.graph if entry.signature is not None else self._come()

    async def close(self) -> None:
        """Leave its process."""
        await self.backend.close()

    async def _come(self) -> Graph:
        """Wait for its first signature, for as long as one of its inferences may take."""
        try:
            async with asyncio.timeout(self.entry.deadline_ms / 1000):
                while self.entry.signature is None:
                    if self.entry.state in GIVEN_UP:
                        raise self._unavailable()
                    if self._changed is None:
                        self._changed = asyncio.get_running_loop().create_future()
                    await asyncio.shield(self._changed)
        except TimeoutError:
            raise self._unavailable() from None
        return self.graph

    def _pass_on(self, entry: ModelEntry) -> None:
        """Tell the connection what the supervisor knows: only it sees a process die."""
        if entry.state in ("ready", "loading") and entry.signature is not None:
            self.backend.resume(entry.signature)
        elif entry.state == "restarting":
            self.backend.explain_death(entry.reason or "its process died")
        elif entry.state in GIVEN_UP:
            reason = entry.reason or f"it is {entry.state}"
            self.backend.explain_death(reason)
            self.backend.suspend(reason)

    def _unavailable(self) -> ModelUnavailable:
        entry = self.entry
        coming = entry.state not in GIVEN_UP
        return ModelUnavailable(
            f"the model {entry.name!r} is {entry.state}",
            cause=entry.reason,
            remedy="try again shortly" if coming else "mend what its reason says, then reload the node",
        )
