"""One model as this process reaches it: through one connection to its process, or those to its servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from wasmind.errors import ModelUnavailable
from wasmind.models.metered import MeteredBackend
from wasmind.models.processes import GIVEN_UP, process_backend, tell_process
from wasmind.nn.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wasmind.backends.vigil import Vigil
    from wasmind.config import KServe
    from wasmind.models.elsewhere import Elsewhere
    from wasmind.node.messages import ModelEntry
    from wasmind.telemetry.elsewhere import ElsewhereFigures, RemoteMeter
    from wasmind.telemetry.figures import ModelMeter


def nobody(_id: str, _tenant: str) -> None:
    """Who does not mind which models are wanted."""


class ServedModel:
    """A model with its state as the supervisor tells it. It connects as soon as the model is first ready."""

    __slots__ = (
        "_changed",
        "_elsewhere",
        "_metered",
        "_process",
        "_told",
        "_want",
        "entry",
        "graph",
        "meter",
    )

    def __init__(
        self,
        entry: ModelEntry,
        meter: ModelMeter,
        elsewhere: ElsewhereFigures | None = None,
        want: Callable[[str, str], object] = nobody,
        vigil: Vigil | None = None,
    ) -> None:
        """`meter` counts its inferences, `elsewhere` its requests to servers.

        `want` hears its id and who uses it while it is unloaded; `vigil` is for the answers of its process.
        """
        self.entry = entry
        self.meter = meter
        self._want = want
        self._told = 0.0
        self._process = process_backend(entry, vigil) if entry.kserve is None else None
        counted = elsewhere.remote(entry.name, entry.scope) if elsewhere and entry.kserve else None
        self._elsewhere = _elsewhere(entry, entry.kserve, counted) if entry.kserve is not None else None
        self.graph = self._graph()
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

    def resolve(self, tenant: str = "") -> Graph | Awaitable[Graph]:
        """The model as a graph, at once or when it is ready. Raises ModelUnavailable, also when awaited.

        A model that was ready before and restarts, or is loaded again, is given at once: its inferences wait
        by its policy.
        """
        if not self._expected:
            raise self.unavailable()
        if self.entry.signature is None:
            return self.ready(tenant)
        if self._metered.want is not None:
            self._metered.want(tenant)
        return self.graph

    @property
    def usable(self) -> bool:
        """Whether an inference may be given to it now, were it to wait by the model's policy."""
        return self._expected and self.entry.signature is not None

    @property
    def _expected(self) -> bool:
        entry = self.entry
        return entry.state == "ready" or (
            not _is_gone(entry) and (entry.when_down == "wait" or _comes(entry))
        )

    @property
    def members(self) -> tuple[ServedModel, ...]:
        """The models that do its inferences: itself."""
        return (self,)

    def used(self) -> float | None:
        """When it was used last, once for each use."""
        used = self._metered.used
        if used == self._told:
            return None
        self._told = used
        return used

    async def close(self) -> None:
        """Leave its process."""
        reached = self._process or self._elsewhere
        assert reached is not None
        await reached.close()

    async def ready(self, tenant: str = "") -> Graph:
        """Wait for its first signature, for as long as one of its inferences may take."""
        if self._metered.want is not None:
            self._metered.want(tenant)
        try:
            async with asyncio.timeout(self.entry.deadline_ms / 1000):
                while self.entry.signature is None:
                    if _is_gone(self.entry):
                        raise self.unavailable()
                    if self._changed is None:
                        self._changed = asyncio.get_running_loop().create_future()
                    await asyncio.shield(self._changed)
        except TimeoutError:
            raise self.unavailable() from None
        return self.graph

    def _pass_on(self, entry: ModelEntry) -> None:
        if self._process is not None:
            tell_process(self._process, entry)
            absent = entry.state == "unloaded" and entry.on_use
            self._metered.want = self._wanted if absent else None
            if absent and (tenant := self._process.next_tenant) is not None:
                self._wanted(tenant)  # it came just as the model left
        if self._elsewhere is not None and not self._elsewhere.tell(entry):
            self.graph = self._graph()

    def _wanted(self, tenant: str) -> None:
        """Have it loaded; asked once for each time that it is unloaded."""
        self._metered.want = None
        self._want(self.entry.id, tenant)

    def _graph(self) -> Graph:
        backend = self._process if self._elsewhere is None else self._elsewhere.backend
        assert backend is not None
        self._metered = MeteredBackend(backend, self.meter)
        entry = self.entry
        return Graph(entry.name, self._metered, entry.deadline_ms / 1000, entry.labels)

    def unavailable(self) -> ModelUnavailable:
        """Why it cannot be used, for people."""
        entry = self.entry
        coming = not _is_gone(entry)
        return ModelUnavailable(
            f"the model {entry.name!r} is {entry.state}",
            cause=entry.reason,
            remedy="try again shortly" if coming else "mend what its reason says, then reload the node",
        )


def _is_gone(entry: ModelEntry) -> bool:
    """Whether waiting for it is in vain."""
    return entry.state in GIVEN_UP or (entry.state == "unloaded" and not entry.on_use)


def _comes(entry: ModelEntry) -> bool:
    """Whether it is not down, but on its way into memory once it is used."""
    return entry.state == "unloaded" or (entry.state == "loading" and entry.alternative is None)


def _elsewhere(entry: ModelEntry, settings: KServe, meter: RemoteMeter | None) -> Elsewhere:
    """Servers elsewhere; what they need is imported only where there are such models."""
    from wasmind.models.elsewhere import Elsewhere

    return Elsewhere(entry, settings, meter)
