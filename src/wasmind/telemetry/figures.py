"""The metrics of a node by name: what an edge worker counts per request and per inference."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from wasmind.telemetry.elsewhere import ElsewhereFigures
from wasmind.telemetry.metrics import BYTES, COUNTS

if TYPE_CHECKING:
    from wasmind.telemetry.metrics import Number, Registry


class ModelFigures:
    """The metrics of every process that asks models for inferences."""

    def __init__(self, registry: Registry) -> None:
        self.inferences = registry.counter(
            "wasmind_inferences",
            "Inferences ended: success, rejected, canceled, backend, other.",
            "model",
            "scope",
            "outcome",
        )
        self.inference = registry.histogram(
            "wasmind_inference_duration_seconds",
            "From a guest's compute to its end, transport included.",
            "model",
            "scope",
        )
        self.queue = registry.histogram(
            "wasmind_inference_queue_seconds", "Time before a batch ran.", "model", "scope"
        )
        self.compute = registry.histogram(
            "wasmind_inference_compute_seconds", "Time the framework ran.", "model", "scope"
        )
        self.batch = registry.histogram(
            "wasmind_inference_batch_size",
            "How many calls ran together, as each call saw it.",
            "model",
            "scope",
            bounds=COUNTS,
        )
        self.cached = registry.counter(
            "wasmind_inference_cache",
            "Inferences looked up in the cache: hit, miss.",
            "model",
            "scope",
            "result",
        )
        self.elsewhere = ElsewhereFigures(registry)
        self.prompts = registry.counter(
            "wasmind_prompt_tokens", "Tokens of prompts that a language model read.", "model", "scope"
        )
        self.generated = registry.counter(
            "wasmind_generated_tokens", "Tokens that a language model wrote.", "model", "scope"
        )

    def model(self, name: str, scope: str) -> ModelMeter:
        """The figures of one model, bound for the hot path."""
        return ModelMeter(self, name, scope)


class EdgeFigures(ModelFigures):
    """An edge worker's metrics."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self.requests = registry.counter("wasmind_requests", "Requests answered.", "function", "status")
        self.duration = registry.histogram(
            "wasmind_request_duration_seconds",
            "From the request's head to the end of the answer.",
            "function",
        )
        self.failures = registry.counter(
            "wasmind_request_failures", "Requests that ended in an error, by its code.", "function", "reason"
        )
        self.cpu = registry.histogram(
            "wasmind_guest_cpu_seconds", "CPU a guest used, host calls included.", "function"
        )
        self.waited = registry.histogram(
            "wasmind_guest_wait_seconds", "Time a guest was suspended.", "function"
        )
        self.memory = registry.histogram(
            "wasmind_guest_memory_bytes", "A guest's largest linear memory.", "function", bounds=BYTES
        )
        self.running = registry.gauge("wasmind_requests_running", "Requests under way.").of()
        self.guests = registry.gauge("wasmind_guests", "Sandboxes alive.").of()

    def function(self, name: str) -> FunctionMeter:
        """The figures of one function, bound for the hot path."""
        return FunctionMeter(self, name)


class OipFigures(ModelFigures):
    """The metrics of the process that serves the Open Inference Protocol."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self.requests = registry.counter(
            "wasmind_oip_requests",
            "Requests by the Open Inference Protocol: success, invalid, rejected, canceled, backend, other.",
            "tenant",
            "model",
            "protocol",
            "outcome",
        )
        self.duration = registry.histogram(
            "wasmind_oip_request_duration_seconds",
            "From a request's head to its answer.",
            "tenant",
            "model",
            "protocol",
        )
        self.running = registry.gauge("wasmind_oip_requests_running", "Requests under way.").of()

    def meter(self, tenant: str, model: str, protocol: str) -> OipMeter:
        """The figures of one tenant's requests to one model, bound for the hot path."""
        return OipMeter(self, tenant, model, protocol)


class OipMeter:
    """Counts one tenant's requests to one model by `rest` or `grpc`."""

    __slots__ = ("_duration", "_figures", "_labels", "_outcomes")

    def __init__(self, figures: OipFigures, tenant: str, model: str, protocol: str) -> None:
        self._figures = figures
        self._labels = (tenant, model, protocol)
        self._duration = figures.duration.of(*self._labels)
        self._outcomes: dict[str, Number] = {}

    def ended(self, outcome: str, seconds: float) -> None:
        """One request ended: `success`, `invalid`, `rejected`, `canceled`, `backend` or `other`."""
        counted = self._outcomes.get(outcome)
        if counted is None:
            counted = self._outcomes[outcome] = self._figures.requests.of(*self._labels, outcome)
        counted.value += 1
        self._duration.observe(seconds)


class FunctionMeter:
    """Counts one function's requests."""

    __slots__ = ("_cpu", "_duration", "_failures", "_figures", "_memory", "_name", "_statuses", "_waited")

    def __init__(self, figures: EdgeFigures, name: str) -> None:
        self._figures = figures
        self._name = name
        self._duration = figures.duration.of(name)
        self._cpu = figures.cpu.of(name)
        self._waited = figures.waited.of(name)
        self._memory = figures.memory.of(name)
        self._statuses: dict[int, Number] = {}
        self._failures: dict[str, Number] = {}

    def ended(self, status: int, seconds: float, cpu: float, waited: float, memory: int) -> None:
        """One request was answered. Times are in seconds, `memory` in bytes."""
        counted = self._statuses.get(status)
        if counted is None:
            counted = self._statuses[status] = self._figures.requests.of(self._name, str(status))
        counted.value += 1
        for distribution, value in (
            (self._duration, seconds),
            (self._cpu, cpu),
            (self._waited, waited),
            (self._memory, memory),
        ):
            distribution.counts[bisect_left(distribution.bounds, value)] += 1  # observe, without the calls
            distribution.sum += value

    def failed(self, code: str) -> None:
        """One request ended in the error with this code; `ended` counts it as well."""
        counted = self._failures.get(code)
        if counted is None:
            counted = self._failures[code] = self._figures.failures.of(self._name, code)
        counted.value += 1


class ModelMeter:
    """Counts one model's inferences, as a process of the node sees them."""

    __slots__ = ("_batch", "_compute", "_duration", "_figures", "_labels", "_outcomes", "_queue")

    def __init__(self, figures: ModelFigures, name: str, scope: str) -> None:
        self._figures = figures
        self._labels = (name, scope)
        self._duration = figures.inference.of(name, scope)
        self._queue = figures.queue.of(name, scope)
        self._compute = figures.compute.of(name, scope)
        self._batch = figures.batch.of(name, scope)
        self._outcomes: dict[str, Number] = {}

    def ended(self, outcome: str, seconds: float) -> None:
        """One inference ended: `success`, `rejected`, `canceled`, `backend` or `other`."""
        counted = self._outcomes.get(outcome)
        if counted is None:
            counted = self._outcomes[outcome] = self._figures.inferences.of(*self._labels, outcome)
        counted.value += 1
        self._duration.observe(seconds)

    def split(self, queue: float, compute: float, batch: int) -> None:
        """Where the time went in the model's process, in seconds, and how many calls ran together."""
        self._queue.observe(queue)
        self._compute.observe(compute)
        if batch:
            self._batch.observe(batch)

    def looked_up(self, *, hit: bool) -> None:
        """An inference was looked up in the cache of answers."""
        self._figures.cached.of(*self._labels, "hit" if hit else "miss").value += 1

    def generated(self, prompt: int, answer: int) -> None:
        """A language model read and wrote so many tokens."""
        self._figures.prompts.of(*self._labels).value += prompt
        self._figures.generated.of(*self._labels).value += answer
