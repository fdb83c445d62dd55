"""One inference that an edge asked for, as the worker keeps it until it is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec

from wasmind.worker.wire import CANCELLED, Done, Failed, More, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from wasmind.worker.connection import Connection
    from wasmind.worker.wire import Infer

_WORDS = 16 << 10


class Call(msgspec.Struct, eq=False):
    """A call that is not answered yet."""

    connection: Connection
    message: Infer
    arrived: int
    """In nanoseconds of CLOCK_MONOTONIC."""
    rows: int = 1
    group: Hashable | None = None
    left: bool = False
    cancelled: bool = False
    kept: tuple[Done, dict[int, bytes]] | None = None
    """The answer, and the outputs that wait for a `Fetch`."""

    def fail(self, code: str, message: str, cause: str | None = None, remedy: str | None = None) -> None:
        """End the call without outputs."""
        words = [text if text is None else text[:_WORDS] for text in (message, cause, remedy)]
        self.connection.answer(Failed(self.message.call, code, words[0] or "", words[1], words[2]))

    def keep(self, message: Done, outputs: dict[int, bytes]) -> None:
        """Hold outputs back until the edge gives them places."""
        self.kept = message, outputs
        if self.cancelled:
            self.cancel()
            return
        lengths = tuple(len(outputs.get(index, b"")) for index in range(len(message.dims)))
        self.connection.send(More(self.message.call, lengths))

    def fetch(self, places: tuple[Place | None, ...]) -> None:
        """Write the outputs that were held back, and end the call. Raises ValueError."""
        if self.kept is None or len(places) != len(self.kept[0].dims):
            raise ValueError(f"nothing is kept of the call {self.message.call}")
        message, outputs = self.kept
        for index, data in outputs.items():
            place = places[index]
            if place is None:
                raise ValueError("an output was not given a place")
            self.connection.write(place, memoryview(data))
        self.connection.answer(message)

    def cancel(self) -> None:
        """Nobody waits for it any more: what has run is forgotten, what has not will not."""
        self.cancelled = True
        if self.kept is not None:
            self.fail(CANCELLED, "the call was cancelled")


Company: TypeAlias = "Callable[[Infer], tuple[int, Hashable | None]]"
"""How many rows a call adds to a batch, and which calls it may join."""


def company(message: Infer) -> tuple[int, Hashable | None]:
    """How many rows a call adds to a batch, and which calls it may join."""
    rows = {dims[0] if dims else 0 for dims in message.dims}
    if len(rows) != 1 or 0 in rows:
        return 1, None
    return rows.pop(), tuple(dims[1:] for dims in message.dims)
