"""What the host functions of a component that serves HTTP work on: its `Guest.host`."""

from __future__ import annotations

from collections.abc import Callable

from wasmind.guest_api.host import Note
from wasmind.guest_api.wasi.p2.host import ComponentHost
from wasmind.guest_api.wasi.state import Wasi
from wasmind.guest_api.wasi_http.client import Outgoing
from wasmind.nn.session import Session


class HttpHost(ComponentHost):
    """What a component has, and the requests it sends."""

    __slots__ = ("_pass_on", "outgoing")

    def __init__(
        self,
        wasi: Wasi,
        nn: Session,
        note: Note,
        outgoing: Outgoing,
        pass_on: Callable[[], None] = lambda: None,
    ) -> None:
        """`pass_on` begins to send what was written of a response."""
        super().__init__(wasi, nn, note)
        self.outgoing = outgoing
        self._pass_on = pass_on

    def about_to_wait(self) -> None:
        """To be called before the guest is suspended, so that what it wrote so far reaches its reader."""
        super().about_to_wait()
        self._pass_on()

    def close(self) -> None:
        """Free everything the guest held."""
        super().close()
        self.outgoing.close()
