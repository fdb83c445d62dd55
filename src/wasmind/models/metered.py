"""A backend whose inferences are counted and timed."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import msgspec

from wasmind.errors import ContextFull, EndOfSequence, ModelBusy, ModelUnavailable, NnError

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.nn.backend import Backend, Generation, Lease, Outputs
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

    def generation(self) -> MeteredGeneration:
        """The backend's own; it counts as one inference."""
        return MeteredGeneration(self, self._backend.generation(), self._meter)

    def use(self, tenant: str) -> float:
        """Somebody uses it now; the time."""
        self.used = now = monotonic()
        if self.want is not None:
            self.want(tenant)
        return now

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


class MeteredGeneration:
    """An `nn.Generation` that does what another does. Its tokens are counted when it is closed."""

    __slots__ = ("_backend", "_closed", "_generation", "_meter", "_outcome", "_seconds", "_usage")

    def __init__(self, backend: MeteredBackend, generation: Generation, meter: ModelMeter) -> None:
        self._backend = backend
        self._generation = generation
        self._meter = meter
        self._outcome = "success"
        self._seconds = 0.0
        self._usage = b""
        self._closed = False

    async def step(self, inputs: tuple[Tensor, ...], deadline: float, tenant: str) -> Outputs:
        """The generation's own."""
        began = self._backend.use(tenant)
        try:
            outputs = await self._generation.step(inputs, deadline, tenant)
        except asyncio.CancelledError:
            self._outcome = "canceled"
            raise
        except (ModelBusy, ModelUnavailable):
            self._outcome = "rejected"
            raise
        except (EndOfSequence, ContextFull):
            raise
        except NnError:
            self._outcome = "backend"
            raise
        finally:
            self._seconds += monotonic() - began
        self._meter.split(outputs.queue_ns / 1e9, outputs.compute_ns / 1e9, 0)
        self._usage = bytes(outputs.tensors[-1].data)
        return outputs

    def close(self) -> None:
        """The generation's own."""
        self._generation.close()
        if not self._closed:
            self._closed = True
            self._meter.ended(self._outcome, self._seconds)
            self._count()

    def _count(self) -> None:
        try:
            usage = _usages.decode(self._usage)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return  # there was no step, or the worker is broken
        self._meter.generated(usage.input_tokens, usage.output_tokens)


class _Usage(msgspec.Struct):
    """What a worker tells of its work; it may be anything."""

    input_tokens: Annotated[int, msgspec.Meta(ge=0, le=1 << 24)]
    output_tokens: Annotated[int, msgspec.Meta(ge=0, le=1 << 24)]


_usages = msgspec.json.Decoder(_Usage)
