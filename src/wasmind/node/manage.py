"""Loading and unloading a model because a caller of the inference ports asked for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmind.errors import WasmindError
from wasmind.node.messages import Managed, ManageModel
from wasmind.node.words import Failure

if TYPE_CHECKING:
    from wasmind.node.fleet import Fleet


async def manage(fleet: Fleet, asked: ManageModel) -> Managed:
    """Do it, and say how it went."""
    try:
        await (fleet.load(asked.model) if asked.load else fleet.unload(asked.model))
    except WasmindError as error:
        return Managed(request=asked.request, failure=Failure.of(error))
    return Managed(request=asked.request)
