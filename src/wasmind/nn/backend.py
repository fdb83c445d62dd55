"""The seam between the wasi-nn domain and whatever runs an inference: a process here, a server elsewhere."""

from __future__ import annotations

from typing import Protocol

from wasmind.nn.signature import Signature
from wasmind.nn.tensor import Tensor


class Lease(Protocol):
    """Memory for one input's bytes, borrowed from a backend so that a tensor is copied once on its way in.

    `view` is writable and has exactly the length asked for. A lease is released once, by whoever holds it: an
    inference takes a copy of no lease, so it may be used for several inferences and released afterwards.
    """

    view: memoryview

    def release(self) -> None:
        """Give the memory back. Releasing twice is harmless."""


class Outputs(Protocol):
    """The outputs of one inference, in the signature's order. Their data is valid until `release`."""

    tensors: tuple[Tensor, ...]
    queue_ns: int
    """Time the inference waited before it ran, as the backend tells; 0 where it does not."""
    compute_ns: int
    """Time the framework ran."""

    def release(self) -> None:
        """Give the memory back. Releasing twice is harmless; the tensors' data must not be read after it."""


class Generation(Protocol):
    """One inference that goes step by step."""

    async def step(self, inputs: tuple[Tensor, ...], deadline: float, tenant: str) -> Outputs:
        """The outputs of the next step, the first with the inputs and the others with none.

        One step at a time. Raises EndOfSequence or ContextFull after the last one, and whatever
        `Backend.infer` raises; after ModelDied or ModelUnavailable there are no more steps.
        """

    def close(self) -> None:
        """Nobody wants another step. Closing twice is harmless."""


class Backend(Protocol):
    """A loaded model, wherever it runs."""

    @property
    def signature(self) -> Signature:
        """Names, types and shapes of inputs and outputs. Raises ModelUnavailable while it is not known."""

    def lease(self, size: int) -> Lease:
        """Borrow `size` bytes for an input; never blocks (falls back to private memory when the shared is
        full).
        """

    async def infer(self, inputs: tuple[Tensor, ...], deadline: float, tenant: str) -> Outputs:
        """Run once. `inputs` are in the signature's order, validated, their data leased from this backend or
        private.

        `deadline` is an `asyncio` loop time. Cancelling the awaiting task cancels the inference.
        Raises InferenceTimeout, ModelBusy, ModelDied, ModelUnavailable, RuntimeFailed.
        """

    def generation(self) -> Generation:
        """A new inference that goes step by step, of a model whose signature says `steps`.

        Raises UnsupportedOperation where none does.
        """
