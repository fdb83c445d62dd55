"""What a node serves since one reload, and what its processes are told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from wasmind.node.messages import Snapshot

if TYPE_CHECKING:
    from wasmind.node.fleet import Fleet
    from wasmind.node.messages import FunctionEntry
    from wasmind.node.plan import Plan


@dataclass(frozen=True, slots=True)
class Serving:
    """A plan that was taken up, its functions compiled."""

    generation: int
    plan: Plan
    functions: tuple[FunctionEntry, ...]

    @property
    def models(self) -> frozenset[str]:
        """The ids of its models."""
        return frozenset(model.id for model in self.plan.models)

    def snapshot(self, fleet: Fleet) -> Snapshot:
        """What edge workers are told, with the models as they are in `fleet` now."""
        return Snapshot(
            generation=self.generation,
            dev=self.plan.dev,
            node=self.plan.node,
            functions=self.functions,
            models=fleet.entries(model.id for model in self.plan.models),
        )

    def inference_snapshot(self, fleet: Fleet) -> Snapshot:
        """What inference processes are told: the models, and who may call; no functions."""
        return msgspec.structs.replace(self.snapshot(fleet), functions=(), inference=self.plan.inference)
