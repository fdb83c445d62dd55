"""What the host functions of a component that serves HTTP work on: its `Guest.host`."""

from __future__ import annotations

from wasmind.guest_api.host import Note
from wasmind.guest_api.wasi.p2.host import ComponentHost
from wasmind.guest_api.wasi.state import Wasi
from wasmind.guest_api.wasi_http.client import Outgoing
from wasmind.nn.session import Session


class HttpHost(ComponentHost):
    """What a component has, and the requests it sends."""

    __slots__ = ("outgoing",)

    def __init__(self, wasi: Wasi, nn: Session, note: Note, outgoing: Outgoing) -> None:
        super().__init__(wasi, nn, note)
        self.outgoing = outgoing

    def close(self) -> None:
        """Free everything the guest held."""
        super().close()
        self.outgoing.close()
