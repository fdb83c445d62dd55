"""The supervisor's metrics: models, processes, configurations."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wasmind.node.status import EdgeStatus, ModelStatus
    from wasmind.telemetry.metrics import Registry


class NodeFigures:
    """Taken from the state of a node's parts, each time they are written."""

    def __init__(self, registry: Registry) -> None:
        self._ready = registry.gauge("wasmind_model_ready", "1: the model serves.", "model", "scope")
        self._memory = registry.gauge(
            "wasmind_model_memory_bytes", "Resident memory of the model's process.", "model", "scope"
        )
        self._load = registry.gauge("wasmind_model_load_seconds", "Load and warm-up.", "model", "scope")
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
            self._ready.of(model.name, model.scope).value = float(model.state == "ready")
            self._memory.of(model.name, model.scope).value = model.memory or 0
            self._load.of(model.name, model.scope).value = model.load_seconds or 0.0
            self._restarts.of("model", model.name).value = model.restarts
        for edge in edges:
            self._restarts.of("edge", str(edge.index)).value = edge.restarts
        self._restarts.of("control", "0").value = control_restarts
        self._generation.value = generation
        self._refused.value = float(reload_refused)
