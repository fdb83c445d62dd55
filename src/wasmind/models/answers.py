"""Answers that are kept, so that an inference on the same inputs need not run again.

Only where both say so: the model's operator (`cache`, how many bytes) and the function (`cache = true`).
Answers are kept for each tenant apart: nobody learns by a quick answer what another tenant has asked.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from wasmind.nn.graph import Graph
from wasmind.nn.memory import TENSOR_COST
from wasmind.nn.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmind.models.served import ServedModel
    from wasmind.nn.backend import Backend, Generation, Lease, Outputs
    from wasmind.nn.signature import Signature
    from wasmind.telemetry.figures import ModelMeter


class Answers:
    """A tenant's answers of one model by the content of the inputs; the least recently used go first."""

    def __init__(self, limit: int) -> None:
        """`limit` is in bytes."""
        self.limit = limit
        self.used = 0
        self._kept: dict[bytes, tuple[Tensor, ...]] = {}

    def find(self, key: bytes) -> tuple[Tensor, ...] | None:
        """The outputs for these inputs."""
        found = self._kept.pop(key, None)
        if found is not None:
            self._kept[key] = found  # the newest is last
        return found

    def keep(self, key: bytes, tensors: Sequence[Tensor]) -> None:
        """Remember outputs, unless they are more than may be kept."""
        size = _size(tensors)
        if size > self.limit or key in self._kept:
            return
        while self.used + size > self.limit:
            self.used -= _size(self._kept.pop(next(iter(self._kept))))
        self._kept[key] = tuple(Tensor(one.type, one.dims, bytes(one.data)) for one in tensors)
        self.used += size


class KeptOutputs:
    """Outputs that were kept."""

    __slots__ = ("compute_ns", "queue_ns", "tensors")

    def __init__(self, tensors: tuple[Tensor, ...]) -> None:
        self.tensors = tensors
        self.queue_ns = self.compute_ns = 0

    def release(self) -> None:
        """Nothing to give back: they stay kept."""


class CachedBackend:
    """An `nn.Backend` that asks another only for what is not kept."""

    __slots__ = ("_answers", "_backend", "_meter")

    def __init__(self, backend: Backend, answers: Answers, meter: ModelMeter) -> None:
        self._backend = backend
        self._answers = answers
        self._meter = meter

    @property
    def signature(self) -> Signature:
        """The backend's own."""
        return self._backend.signature

    def lease(self, size: int) -> Lease:
        """The backend's own."""
        return self._backend.lease(size)

    def generation(self) -> Generation:
        """The backend's own: what comes step by step is not kept."""
        return self._backend.generation()

    async def infer(self, inputs: tuple[Tensor, ...], deadline: float, tenant: str) -> Outputs:
        """The answer that is kept, or the backend's own."""
        key = content(inputs)
        kept = self._answers.find(key)
        self._meter.looked_up(hit=kept is not None)
        if kept is not None:
            return KeptOutputs(kept)
        outputs = await self._backend.infer(inputs, deadline, tenant)
        self._answers.keep(key, outputs.tensors)
        return outputs


class Caches:
    """The answers of all models and tenants in this process."""

    def __init__(self) -> None:
        self._graphs: dict[tuple[str, str], tuple[Graph, Answers, Graph]] = {}

    def graph(self, served: ServedModel, graph: Graph, tenant: str) -> Graph:
        """`graph`, of a model that may be cached, with a tenant's answers before it."""
        entry = served.entry
        key = tenant, entry.id
        known = self._graphs.get(key)
        if known is not None and known[0] is graph and known[1].limit == entry.cache:
            return known[2]
        answers = Answers(entry.cache)
        cached = Graph(
            graph.name, CachedBackend(graph.backend, answers, served.meter), graph.deadline, graph.labels
        )
        self._graphs[key] = graph, answers, cached
        return cached

    def forget(self, id_: str) -> None:
        """A model is not served any more."""
        self._graphs = {key: kept for key, kept in self._graphs.items() if key[1] != id_}


def content(inputs: Sequence[Tensor]) -> bytes:
    """SHA-256 over the inputs: types, shapes and bytes."""
    digest = hashlib.sha256()
    for one in inputs:
        digest.update(f"{one.type.value} {one.dims} {len(one.data)};".encode())
        digest.update(one.data)
    return digest.digest()


def _size(tensors: Sequence[Tensor]) -> int:
    return sum(len(one.data) + TENSOR_COST for one in tensors) + TENSOR_COST
