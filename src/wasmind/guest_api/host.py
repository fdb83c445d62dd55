"""What a command guest's host functions work on: its `Guest.host`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from wasmind.errors import WasmindError
from wasmind.guest_api.wasi.state import Wasi
from wasmind.nn.session import Session
from wasmind.telemetry.escape import escape

Note: TypeAlias = Callable[[str], None]
"""Takes one line for the function's log: why a call failed, for a guest that only sees an errno."""

MAX_NOTES = 32
MAX_NOTE = 2048


class CommandHost:
    """The state of one command: its WASI side, and its wasi-nn side."""

    __slots__ = ("_note", "_notes", "nn", "wasi")

    def __init__(self, wasi: Wasi, nn: Session, note: Note) -> None:
        self.wasi = wasi
        self.nn = nn
        self._note = note
        self._notes = 0

    def note(self, text: str) -> None:
        """Explain something in the function's log: escaped, cut to a line, and only so often in one run."""
        self._notes += 1
        if self._notes <= MAX_NOTES:
            self._note(escape(text[:MAX_NOTE]))
        elif self._notes == MAX_NOTES + 1:
            self._note(f"more than {MAX_NOTES} calls of this run failed; the others are not explained")

    def explain(self, call: str, answer: int, error: WasmindError) -> None:
        """Say in the function's log why a call answered a number that stands for an error."""
        if self._notes <= MAX_NOTES:
            self.note(f"{call} answered {answer}: {error.explain()}")

    def about_to_wait(self) -> None:
        """To be called before the guest is suspended, so that what it wrote so far reaches its reader."""
        self.wasi.stdout.flush()
        self.wasi.stderr.flush()

    def close(self) -> None:
        """Free everything the guest held."""
        self.wasi.close()
        self.nn.close()
