"""A backend whose inferences are counted and timed."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from wasmind.errors import ModelBusy, ModelUnavailable, NnError

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.nn.backend import Backend, Lease, Outputs
    from wasmind.nn.signature import Signature
    from wasmind.nn.tensor import Tensor
    from wasmind.telemetry.figures import ModelMeter


class MeteredBackend:
    """An `nn.Backend` that does what another does. It costs an inference about two microseconds."""

    __slots__ = ("_backend", "_meter", "used", "want")

    def __init__(self, backend: Backend, meter: ModelMeter) -> None:
        self._backend = backend
        self._meter = meter
        self.used = 0.0
        """When it was used last, in seconds of CLOCK_MONOTONIC."""
        self.want: Callable[[str], None] | None = None
        """Told the tenant that uses it, while the model is not in memory."""

    @property
    def signature(self) -> Signature:
        """The backend's own."""
        return self._backend.signature

    def lease(self, size: int) -> Lease:
        """The backend's own."""
        return self._backend.lease(size)

    async def infer(self, inputs: tuple[Tensor, ...], deadline: float, tenant: str) -> Outputs:
        """The backend's own; its end is counted as success, rejected, canceled, backend or other."""
        outcome = "other"
        self.used = began = monotonic()
        if self.want is not None:
            self.want(tenant)
        try:
            outputs = await self._backend.infer(inputs, deadline, tenant)
        except asyncio.CancelledError:
            outcome = "canceled"
            raise
        except (ModelBusy, ModelUnavailable):
            outcome = "rejected"
            raise
        except NnError:
            outcome = "backend"
            raise
        else:
            outcome = "success"
            # A server elsewhere does not tell how many ran together.
            batch = getattr(outputs, "batch", 0)
            self._meter.split(outputs.queue_ns / 1e9, outputs.compute_ns / 1e9, batch)
            return outputs
        finally:
            self._meter.ended(outcome, monotonic() - began)
