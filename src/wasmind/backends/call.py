"""One inference on a model's process, from when it waits for its turn until it is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import asyncio

    from wasmind.backends.generation import ProcessGeneration
    from wasmind.backends.leases import ProcessOutputs, SharedLease
    from wasmind.backends.link import Link
    from wasmind.backends.plan import Plan
    from wasmind.nn.tensor import Tensor
    from wasmind.worker.wire import Place


class Call(msgspec.Struct, eq=False):
    """One inference that somebody waits for."""

    inputs: tuple[Tensor, ...]
    deadline: float
    """In the loop's time."""
    tenant: str
    future: asyncio.Future[ProcessOutputs]
    generation: ProcessGeneration | None = None
    """What this is a step of."""
    gone: bool = False
    """Nobody waits any more. What it uses of the arena stays taken until the worker has answered."""
    starved: bool = False
    """It waits because the arena is full."""
    fetching: bool = False
    """The worker has said that its outputs need more room."""
    link: Link | None = None
    """The connection on which it was sent; what follows is set then."""
    number: int = 0
    leases: list[SharedLease] | None = None
    """The leases that its inputs lie in."""
    extents: list[tuple[int, int]] | None = None
    """What else it has of the arena: copies of inputs, and the places of outputs."""
    plan: Plan | None = None
    places: tuple[Place | None, ...] = ()
    """Where its outputs may be written; empty if all travel inline."""
