"""Connections to processes of this node, told what the supervisor knows of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmind.backends.process import ProcessBackend

if TYPE_CHECKING:
    from wasmind.backends.vigil import Vigil
    from wasmind.node.messages import ModelEntry

GIVEN_UP = ("stopped", "failed", "quarantined")
"""States that do not end by themselves."""


def process_backend(entry: ModelEntry, vigil: Vigil | None = None) -> ProcessBackend:
    """The process of a model; it connects once it is told that the process serves."""
    return ProcessBackend(
        entry.socket,
        entry.name,
        entry.signature,
        shared_memory=entry.shared_memory,
        queue=entry.queue,
        when_down=entry.when_down,
        vigil=vigil,
    )


def tell_process(backend: ProcessBackend, entry: ModelEntry) -> None:
    """Tell the connection what the supervisor knows: only it sees a process die."""
    backend.limit(queue=entry.queue, shared_memory=entry.shared_memory, when_down=entry.when_down)
    if entry.state in ("ready", "loading"):
        if entry.signature is not None:
            backend.resume(entry.signature)
    elif entry.state == "unloaded":
        backend.rest()
        if not entry.on_use:
            backend.suspend(entry.reason or "it is unloaded")
        elif entry.signature is not None:
            backend.expect(entry.signature)
    elif entry.state == "restarting":
        backend.explain_death(entry.reason or "its process died")
    elif entry.state in GIVEN_UP:
        reason = entry.reason or f"it is {entry.state}"
        backend.explain_death(reason)
        backend.suspend(reason)
