"""A model elsewhere whose tensors processes of this node convert, on the way there, back, or both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from wasmind.errors import ModelUnavailable, RuntimeFailed
from wasmind.nn.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmind.nn.backend import Backend, Generation, Lease, Outputs
    from wasmind.nn.signature import Dim, Signature


class ConvertedOutputs:
    """Outputs of the last step, with the times of all."""

    __slots__ = ("_outputs", "compute_ns", "queue_ns", "tensors")

    def __init__(self, outputs: Outputs, queue_ns: int, compute_ns: int) -> None:
        """`queue_ns` and `compute_ns` are those of the steps before."""
        self._outputs = outputs
        self.tensors = outputs.tensors
        self.queue_ns = queue_ns + outputs.queue_ns
        """Time it waited: for its turn at each process, and at the servers."""
        self.compute_ns = compute_ns + outputs.compute_ns
        """Time of the conversions and of the request."""

    def release(self) -> None:
        """Give the memory back."""
        self._outputs.release()


class Converts(Protocol):
    """A process that converts: it takes as many inferences as a model does."""

    def lease(self, size: int) -> Lease:
        """Memory for an input."""

    async def infer(self, inputs: tuple[Tensor, ...], deadline: float, tenant: str) -> Outputs:
        """Convert."""


class ConvertingBackend:
    """An `nn.Backend` of up to three steps: convert the inputs, have the model run, convert its outputs.

    Each step has what is left until the deadline, and is cancelled with the inference.
    """

    def __init__(
        self, name: str, model: Backend, inputs: Converts | None = None, outputs: Converts | None = None
    ) -> None:
        self.name = name
        self._model, self._inputs, self._outputs = model, inputs, outputs
        self._signature: Signature | None = None
        self._served: Signature | None = None
        self._masks: tuple[int, ...] = ()

    @property
    def signature(self) -> Signature:
        """What functions see. Raises ModelUnavailable while it is not known."""
        if self._signature is None:
            raise ModelUnavailable(
                f"the model {self.name!r} is unavailable", cause="its conversions are not ready yet"
            )
        return self._signature

    def learn(self, signature: Signature, served: Signature, outputs: Signature | None = None) -> bool:
        """Know what functions see, what the servers take and give, and what the conversion of outputs takes:
        the outputs, then those of the model's inputs that it looks at. True: functions see what they saw.
        """
        same = self._signature == signature
        self._signature = signature
        if served != self._served:
            self._served = served
        if outputs is not None:
            places = {spec.name: index for index, spec in enumerate(served.inputs)}
            self._masks = tuple(places[spec.name] for spec in outputs.inputs[len(served.outputs) :])
        return same

    def lease(self, size: int) -> Lease:
        """Memory that the first step reads."""
        return (self._inputs or self._model).lease(size)

    def generation(self) -> Generation:
        """The model's own refusal: no server elsewhere goes step by step. Raises UnsupportedOperation."""
        return self._model.generation()

    async def infer(self, inputs: tuple[Tensor, ...], deadline: float, tenant: str) -> Outputs:
        """Run once; see `nn.Backend.infer`. Raises what the step raises that fails."""
        served, masks = self._served, self._masks
        queue_ns = compute_ns = 0
        if self._inputs is not None:
            converted = await self._inputs.infer(inputs, deadline, tenant)
            queue_ns, compute_ns = converted.queue_ns, converted.compute_ns
            inputs = _taken(converted)
            self._require(served)
        answer = await self._model.infer(inputs, deadline, tenant)
        if self._outputs is None:
            return ConvertedOutputs(answer, queue_ns, compute_ns)
        try:
            self._require(served)
            self._check(answer.tensors)
            given = (*answer.tensors, *(inputs[at] for at in masks))
            found = await self._outputs.infer(given, deadline, tenant)
        finally:
            answer.release()
        return ConvertedOutputs(found, queue_ns + answer.queue_ns, compute_ns + answer.compute_ns)

    def _require(self, served: Signature | None) -> None:
        """Refuse to go on with tensors of the model that was there before. Raises ModelUnavailable."""
        if served is not self._served:
            raise ModelUnavailable(
                f"the servers of {self.name!r} have another model now",
                cause="they told so while an inference was under way",
                remedy="try again",
            )

    def _check(self, tensors: tuple[Tensor, ...]) -> None:
        """Hold an answer against what its server said before. Raises RuntimeFailed."""
        assert self._served is not None
        for spec, tensor in zip(self._served.outputs, tensors, strict=True):
            if spec.dims is not None and not _agree(spec.dims, tensor.dims):
                raise RuntimeFailed(
                    f"the answer of {self.name!r} has {tensor} as {spec.name!r}, not {spec}",
                    cause="the server does not keep to the shapes that its metadata describe",
                )


def _agree(told: Sequence[Dim], found: Sequence[int]) -> bool:
    """Whether a shape is one that was told; an output may be empty."""
    return len(told) == len(found) and all(
        want == got or not isinstance(want, int) for want, got in zip(told, found, strict=True)
    )


def _taken(outputs: Outputs) -> tuple[Tensor, ...]:
    """Outputs as bytes of this process: while the request is under way no shared memory is held for it."""
    try:
        return tuple(Tensor(one.type, one.dims, bytes(one.data)) for one in outputs.tensors)
    finally:
        outputs.release()
