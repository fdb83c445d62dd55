"""What a command guest's host functions work on: its `Guest.host`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from wasmind.guest_api.wasi.state import Wasi
from wasmind.nn.session import Session

Note: TypeAlias = Callable[[str], None]
"""Takes one line for the function's log: why a call failed, for a guest that only sees an errno."""


class CommandHost:
    """The state of one command: its WASI side, and its wasi-nn side."""

    __slots__ = ("nn", "note", "wasi")

    def __init__(self, wasi: Wasi, nn: Session, note: Note) -> None:
        self.wasi = wasi
        self.nn = nn
        self.note = note

    def about_to_wait(self) -> None:
        """To be called before the guest is suspended, so that what it wrote so far reaches its reader."""
        self.wasi.stdout.flush()
        self.wasi.stderr.flush()

    def close(self) -> None:
        """Free everything the guest held."""
        self.nn.close()
