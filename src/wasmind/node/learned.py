"""What models' processes found out about them, kept in the node's directory for the processes after them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from wasmind.catalog.figures import Figures
from wasmind.catalog.signatures import Signatures
from wasmind.node.report import measured

if TYPE_CHECKING:
    from pathlib import Path

    from wasmind.node.models import ServedModel
    from wasmind.node.plan import ModelPlan


class Learned:
    """Models' signatures, and what they took."""

    def __init__(self, directory: Path) -> None:
        self._signatures = Signatures(directory / "signatures")
        self.figures = Figures(directory / "figures")
        """What models took, for their cards."""

    def applied_to(self, plan: ModelPlan) -> ModelPlan:
        """The plan with the model's signature, as far as an earlier process told it."""
        known = self._signatures.get(plan.digest, plan.spec.runtime)
        return msgspec.structs.replace(plan, signature=known)

    def keep(self, model: ServedModel) -> None:
        """Keep what the model's newest process says, once it is ready."""
        if model.entry.state != "ready":
            return
        self._keep_signature(model)
        self._keep_figures(model)

    def _keep_signature(self, model: ServedModel) -> None:
        signature = model.entry.signature
        if signature and signature != model.plan.signature:
            with suppress(OSError):  # found out again next time
                self._signatures.put(model.entry.digest, model.plan.spec.runtime, signature)

    def _keep_figures(self, model: ServedModel) -> None:
        if model.report is not None:
            with suppress(OSError):  # measured again next time
                self.figures.put(model.entry.digest, model.plan.spec.runtime, measured(model.report))
