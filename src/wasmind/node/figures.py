"""The supervisor's metrics: models, processes, configurations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmind.telemetry.metrics import SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wasmind.node.plan import ModelPlan
    from wasmind.node.status import EdgeStatus, ModelStatus
    from wasmind.telemetry.metrics import Registry


class LoadFigures:
    """How models come into memory and leave it."""

    def __init__(self, registry: Registry) -> None:
        labels = ("model", "scope")
        self._misses = registry.counter(
            "wasmind_model_cache_misses", "Uses of a model that was not in memory.", *labels
        )
        self._loads = registry.histogram(
            "wasmind_model_load_duration_seconds",
            "From a process's start until it serves.",
            *labels,
            bounds=SECONDS,
        )
        self._failures = registry.counter("wasmind_model_load_failures", "Loads that failed.", *labels)
        self._evictions = registry.counter(
            "wasmind_model_evictions", "Times that a model left to make room.", *labels
        )
        self.used = registry.gauge("wasmind_model_cache_used_bytes", "Memory that models have.").of()
        self.budget = registry.gauge(
            "wasmind_model_cache_budget_bytes", "Memory that models may have; 0: no limit."
        ).of()

    def missed(self, plan: ModelPlan) -> None:
        """A function used a model that was not in memory."""
        self._misses.of(plan.title, plan.scope).value += 1

    def loaded(self, plan: ModelPlan, seconds: float) -> None:
        """A model came into memory."""
        self._loads.of(plan.title, plan.scope).observe(seconds)

    def failed(self, plan: ModelPlan) -> None:
        """A load failed."""
        self._failures.of(plan.title, plan.scope).value += 1

    def evicted(self, plan: ModelPlan) -> None:
        """A model left to make room."""
        self._evictions.of(plan.title, plan.scope).value += 1


class NodeFigures:
    """Taken from the state of a node's parts, each time they are written."""

    def __init__(self, registry: Registry) -> None:
        self._ready = registry.gauge("wasmind_model_ready", "1: the model serves.", "model", "scope")
        self._memory = registry.gauge(
            "wasmind_model_memory_bytes", "Resident memory of the model's process.", "model", "scope"
        )
        self._load = registry.gauge("wasmind_model_load_seconds", "Load and warm-up.", "model", "scope")
        self.loads = LoadFigures(registry)
        self._restarts = registry.counter("wasmind_process_restarts", "Processes that died.", "kind", "name")
        self._generation = registry.gauge("wasmind_config_generation", "The configuration in force.").of()
        self._refused = registry.gauge("wasmind_config_reload_refused", "1: the last reload was.").of()

    def update(
        self,
        models: Iterable[ModelStatus],
        edges: Iterable[EdgeStatus],
        *,
        control_restarts: int,
        generation: int,
        reload_refused: bool,
    ) -> None:
        """Take over how the parts are now; a model that is gone reads 0."""
        for known in (self._ready, self._memory):
            known.clear()
        for model in models:
            self._ready.of(model.title, model.scope).value = float(model.state == "ready")
            self._memory.of(model.title, model.scope).value = model.memory or 0
            self._load.of(model.title, model.scope).value = model.load_seconds or 0.0
            self._restarts.of("model", model.title).value = model.restarts
        for edge in edges:
            self._restarts.of("edge", str(edge.index)).value = edge.restarts
        self._restarts.of("control", "0").value = control_restarts
        self._generation.value = generation
        self._refused.value = float(reload_refused)
