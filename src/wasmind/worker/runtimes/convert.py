"""No model at all: what is converted before or after a model that runs elsewhere.

The process has the model's signature and gives back what it gets, so that the conversions around it are all
that it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmind.nn.signature import Signature
from wasmind.worker.conversions.pool import mask_of
from wasmind.worker.runtimes.devices import refuse
from wasmind.worker.syscalls import Profile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmind.config import Target
    from wasmind.nn.signature import TensorSpec
    from wasmind.worker.runtimes.base import Array
    from wasmind.worker.spec import Conversions, WorkerSpec


class Runtime:
    """Gives back what it gets."""

    name = "conversions"
    profile = Profile()

    def open_device(self, target: Target) -> str:
        """There is nothing to compute on one."""
        refuse(target, self.name, ("CPU",))

    def load(self, spec: WorkerSpec) -> Side:
        """One side of the model whose signature the specification has. Raises ModelLoadFailed."""
        assert spec.declared is not None
        if spec.encoding == "inputs":
            return Side(spec.declared.inputs)
        return Side(spec.declared.outputs, _masks(spec.conversions, spec.declared))


class Side:
    """The inputs, or the outputs, of a model elsewhere, as they are there (a `LoadedModel`)."""

    def __init__(self, tensors: Sequence[TensorSpec], more: Sequence[TensorSpec] = ()) -> None:
        """`more` comes in after the tensors, for conversions that look at it, and does not go out."""
        self.notes: tuple[str, ...] = ()
        self.signature = Signature((*tensors, *more), tuple(tensors))

    def execution(self) -> Same:
        """A new execution of it."""
        return Same(len(self.signature.outputs))


class Same:
    """An execution whose outputs are its first inputs."""

    def __init__(self, count: int) -> None:
        self._count = count

    def run(self, inputs: Sequence[Array], places: Sequence[Array | None]) -> Sequence[Array]:
        """Give them back."""
        return inputs[: self._count]

    def abort(self) -> bool:
        """There is nothing to end."""
        return True


def _masks(declared: Conversions | None, model: Signature) -> list[TensorSpec]:
    """The model's inputs that the conversions of its outputs look at. Raises ModelLoadFailed."""
    steps = [step for one in declared.outputs.values() for step in one.steps] if declared else []
    wanted = {mask_of(step.pool, model) for step in steps if step.pool is not None}
    return [spec for index, spec in enumerate(model.inputs) if index in wanted]
