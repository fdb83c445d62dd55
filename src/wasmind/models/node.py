"""The node's models as this process reaches them, and what each function may name of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from wasmind.errors import ModelNotFound
from wasmind.models.alternatives import Alternatives
from wasmind.models.answers import Caches
from wasmind.models.served import ServedModel, nobody
from wasmind.nn.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable

    from wasmind.backends.vigil import Vigil
    from wasmind.models.loads import Loads
    from wasmind.nn.encoding import Encoding, Target
    from wasmind.node.messages import Alternative, FunctionEntry, ModelEntry
    from wasmind.telemetry.figures import ModelFigures


class FunctionModels:
    """What one function may name (an `nn.Models`). No other name exists for it."""

    __slots__ = ("_caches", "_function", "_granted", "_loads", "allow_load")

    def __init__(
        self,
        function: FunctionEntry,
        granted: dict[str, ServedModel | Alternatives],
        loads: Loads,
        caches: Caches,
    ) -> None:
        self._caches = caches if function.cache else None
        self._function = function
        self._granted = granted
        self._loads = loads
        self.allow_load = function.allow_load

    def resolve(self, name: str) -> Graph | Awaitable[Graph]:
        """Find a named model. Raises ModelNotFound, ModelUnavailable."""
        served = self._granted.get(name)
        if served is None:
            raise ModelNotFound(
                "no such model",
                cause=f"the function {self._function.name!r} may name: {', '.join(self._granted) or 'none'}",
                remedy="name one of these, or grant the model with the function's `models`",
            )
        found = served.resolve(self._function.tenant)
        if self._caches is None or not isinstance(served, ServedModel) or not served.entry.cache:
            return found
        return self._cached(self._caches, served, found)

    def _cached(
        self, caches: Caches, served: ServedModel, found: Graph | Awaitable[Graph]
    ) -> Graph | Awaitable[Graph]:
        """The graph with the answers before it that this tenant's functions share."""
        if isinstance(found, Graph):
            return caches.graph(served, found, self._function.tenant)

        async def later() -> Graph:
            return caches.graph(served, await found, self._function.tenant)

        return later()

    async def load(self, builders: tuple[bytes, ...], encoding: Encoding, target: Target) -> Graph:
        """Load a model from bytes, once for all requests that bring the same."""
        served = await self._loads.load(self._function, builders, encoding, target)
        found = served.resolve()
        return found if isinstance(found, Graph) else await found

    @property
    def served(self) -> Iterable[ServedModel]:
        """The models it may name, and those that do their inferences."""
        return (served for granted in self._granted.values() for served in granted.members)

    def same(self, other: FunctionModels) -> bool:
        """Whether the same names mean the same models."""
        return self._granted == other._granted


class NodeModels:
    """All models by id."""

    def __init__(
        self,
        loads: Loads,
        figures: ModelFigures,
        want: Callable[[str, str], object] = nobody,
        vigil: Vigil | None = None,
    ) -> None:
        """`want` hears the id of a model that is unloaded, and the tenant that uses it.

        `vigil` is for the answers of processes here.
        """
        self._vigil = vigil
        self._loads = loads
        self._want = want
        self._figures = figures
        self._served: dict[str, ServedModel] = {}
        self._alternatives: dict[tuple[str, Alternative], Alternatives] = {}
        self._caches = Caches()
        self._named: set[str] = set()
        self._closing: set[asyncio.Task[None]] = set()

    def apply(self, entries: Collection[ModelEntry]) -> None:
        """Know these models; the others stay until `keep` leaves them out."""
        self._named = {entry.id for entry in entries}
        for entry in entries:
            served = self._served.get(entry.id)
            if served is None:
                meter = self._figures.model(entry.name, entry.scope)
                self._served[entry.id] = ServedModel(
                    entry, meter, self._figures.elsewhere, self._want, self._vigil
                )
            else:
                served.update(entry)

    def update(self, entry: ModelEntry) -> None:
        """One model has changed."""
        served = self._served.get(entry.id)
        if served is not None:
            served.update(entry)
        else:
            self._loads.update(entry)

    def used(self) -> dict[str, float]:
        """The models used since the last time, each with when, in seconds of CLOCK_MONOTONIC."""
        found = {id_: used for id_, served in self._served.items() if (used := served.used()) is not None}
        return found | self._loads.used()

    def served(self, id_: str) -> ServedModel:
        """A model of the newest snapshot by its id."""
        return self._served[id_]

    def granted(self, function: FunctionEntry) -> FunctionModels:
        """What a function may name."""
        granted = {name: self._offered(id_) for name, id_ in function.grants.items()}
        return FunctionModels(function, granted, self._loads, self._caches)

    def _offered(self, id_: str) -> ServedModel | Alternatives:
        """A model, with the other that may do its inferences."""
        served = self._served[id_]
        how = served.entry.alternative
        if how is None:
            return served
        found = self._alternatives.get((id_, how))
        if found is None:
            other, entry = self._served[how.id], served.entry
            meter = self._figures.elsewhere.alternative(entry.name, entry.scope, other.entry.name)
            found = self._alternatives[id_, how] = Alternatives(served, other, how, meter)
        return found

    def keep(self, used: set[ServedModel]) -> None:
        """Leave all models but these and those of the newest snapshot."""
        for id_, served in list(self._served.items()):
            if id_ not in self._named and served not in used:
                del self._served[id_]
                self._caches.forget(id_)
                self._alternatives = {k: a for k, a in self._alternatives.items() if served not in a.members}
                task = asyncio.get_running_loop().create_task(served.close())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Leave all models."""
        self._named = set()
        self.keep(set())
        await asyncio.gather(*self._closing, self._loads.close())
