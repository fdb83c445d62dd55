"""How errors are told by the protocol: a status, and words for whoever is at the other end."""

from __future__ import annotations

from wasmind.errors import (
    InvalidArgument,
    ModelBusy,
    NnError,
    Overloaded,
    RequestError,
    TooLarge,
    UnsupportedOperation,
    WasmindError,
)

_EXPLAINED = (RequestError, InvalidArgument, TooLarge, UnsupportedOperation)
"""Mistakes of the caller: all that is known of them concerns what the caller sent."""
_BUSY = (ModelBusy, Overloaded)


def rest_status(error: WasmindError) -> int:
    """The HTTP status. A full queue is 429: by 503, balancers would take the server for a sick one."""
    return 429 if isinstance(error, _BUSY) else error.status


def words(error: WasmindError, *, dev: bool) -> str:
    """What a client is told. Causes that lie in the node stay in its log, except in dev mode."""
    if dev or isinstance(error, _EXPLAINED):
        return error.explain()
    return error.message if isinstance(error, (NnError, Overloaded)) else error.title
