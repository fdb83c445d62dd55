"""The supervisor's metrics: models, processes, configurations."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wasmind.node.status import NodeStatus
    from wasmind.telemetry.metrics import Registry


class NodeFigures:
    """Taken from the node's status, each time they are written."""

    def __init__(self, registry: Registry) -> None:
        self._ready = registry.gauge("wasmind_model_ready", "1: the model serves.", "model", "scope")
        self._memory = registry.gauge(
            "wasmind_model_memory_bytes", "Resident memory of the model's process.", "model", "scope"
        )
        self._load = registry.gauge("wasmind_model_load_seconds", "Load and warm-up.", "model", "scope")
        self._restarts = registry.counter("wasmind_process_restarts", "Processes that died.", "kind", "name")
        self._generation = registry.gauge("wasmind_config_generation", "The configuration in force.").of()
        self._refused = registry.gauge("wasmind_config_reload_refused", "1: the last reload was.").of()

    def update(self, status: NodeStatus, control_restarts: int) -> None:
        """Take over what `status` says; a model that is gone reads 0."""
        for known in (self._ready, self._memory):
            known.clear()
        for model in status.models:
            self._ready.of(model.name, model.scope).value = float(model.state == "ready")
            self._memory.of(model.name, model.scope).value = model.memory or 0
            self._load.of(model.name, model.scope).value = model.load_seconds or 0.0
            self._restarts.of("model", model.name).value = model.restarts
        for edge in status.edges:
            self._restarts.of("edge", str(edge.index)).value = edge.restarts
        self._restarts.of("control", "0").value = control_restarts
        self._generation.value = status.generation
        self._refused.value = float(status.reload_failure is not None)
