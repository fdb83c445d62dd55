"""What messages, status and settings of a node have in common; imports nothing heavy."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from wasmind.errors import NodeError, WasmindError

State: TypeAlias = Literal[
    "loading", "ready", "unloaded", "restarting", "away", "quarantined", "failed", "stopped"
]
"""A model's state. `unloaded` is loaded when it is next used, or when its operator says so. `restarting`
comes back by itself, as does `away` (a server elsewhere does not answer); `failed` may be tried again;
`quarantined` waits for a reload."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An error of the tree in wasmind.errors, carried to another process."""

    code: str
    message: str
    cause: str | None = None
    remedy: str | None = None

    @classmethod
    def of(cls, error: WasmindError) -> Failure:
        """Take an error's words."""
        return cls(code=error.code, message=error.message, cause=error.cause, remedy=error.remedy)

    def error(self) -> WasmindError:
        """The error again, as the class its code names."""
        kind = _by_code(WasmindError).get(self.code, NodeError)
        return kind(self.message, cause=self.cause, remedy=self.remedy)


class ControlSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the control process is told on its command line."""

    listen_fd: int
    """The inherited listening TCP socket of the API."""
    lifeline_fd: int
    """An inherited socket that is closed when the supervisor ends."""
    state_dir: str
    metrics_dir: str
    header_timeout_ms: float
    log: Literal["console", "json"]
    log_level: Literal["debug", "info", "warning", "error"]


def _by_code(kind: type[WasmindError]) -> dict[str, type[WasmindError]]:
    found = {kind.code: kind}
    for child in kind.__subclasses__():
        found |= _by_code(child)
    return found
