"""An inference in a model's process that goes step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmind.errors import ModelDied

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wasmind.backends.leases import ProcessOutputs
    from wasmind.backends.link import Link
    from wasmind.nn.tensor import Tensor


class ProcessGeneration:
    """One generation. Its state is the worker's, so it lives and ends with the connection it began on."""

    __slots__ = ("_closed", "_step", "link", "number")

    def __init__(self, step: Callable[..., Awaitable[ProcessOutputs]], number: int) -> None:
        self.number = number
        """Never used twice by its backend."""
        self.link: Link | None = None
        """The connection on which it was begun."""
        self._step = step
        self._closed = False

    async def step(self, inputs: tuple[Tensor, ...], deadline: float, tenant: str) -> ProcessOutputs:
        """The next outputs; see `nn.Generation.step`."""
        return await self._step(self, inputs, deadline, tenant)

    def close(self) -> None:
        """Let the worker forget it."""
        if not self._closed:
            self._closed = True
            if self.link is not None:
                self.link.forget(self.number)

    def lost(self) -> ModelDied:
        """What became of it when the connection is another one now."""
        return ModelDied(
            "the model's process died, and what it had computed of this with it",
            remedy="begin again: the process is started anew",
        )
