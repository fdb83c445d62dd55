"""What both forms of the protocol offer their backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from wasmind.backends.oip.rest import Named
from wasmind.errors import ModelUnavailable
from wasmind.nn.signature import Signature


class NotSent(ModelUnavailable):
    """The server could not be reached, and nothing of the request was sent: trying again is safe."""

    code, title = "model-server-unreachable", "The model's server cannot be reached"


class Transport(Protocol):
    """One server, one model."""

    async def signature(self, timeout: float) -> Signature:
        """Ask for the model's metadata, within `timeout` seconds.

        Raises NotSent, ModelUnavailable, ModelNotFound, RuntimeFailed, InferenceTimeout.
        """

    async def infer(self, inputs: Sequence[Named], outputs: Sequence[str], timeout: float) -> list[Named]:
        """Run one inference within `timeout` seconds.

        Raises NotSent, ModelUnavailable, ModelBusy, ModelNotFound, InvalidTensor, RuntimeFailed,
        InferenceTimeout.
        """

    async def close(self) -> None:
        """Close its connections."""
