"""What a component's host functions work on: its `Guest.host`."""

from __future__ import annotations

from wasmind.component.abi.context import Context
from wasmind.guest_api.host import CommandHost, Note
from wasmind.guest_api.wasi.p2.pollable import Pollable
from wasmind.guest_api.wasi.state import Wasi
from wasmind.nn.session import Session


class ComponentHost(CommandHost):
    """The state of one component: what a command has, and the handles that the canonical ABI keeps."""

    __slots__ = ("contexts",)

    def __init__(self, wasi: Wasi, nn: Session, note: Note) -> None:
        super().__init__(wasi, nn, note)
        self.contexts: list[Context] = []

    def close(self) -> None:
        """Free everything the guest held; what its streams and computations wait for is given up."""
        for cx in self.contexts:
            for handle in cx.entries:
                if handle is not None and isinstance(handle.representation, Pollable):
                    handle.representation.abandon()
        self.contexts = []
        super().close()
