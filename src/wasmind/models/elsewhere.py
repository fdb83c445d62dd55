"""Servers elsewhere, and what converts before and after them, told what the supervisor knows of them.

What this needs is imported only where there are such models.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from wasmind.backends.converting import ConvertingBackend
from wasmind.backends.oip.backend import OipBackend
from wasmind.backends.oip.connect import connect
from wasmind.models.processes import GIVEN_UP, process_backend, tell_process

if TYPE_CHECKING:
    from wasmind.backends.process import ProcessBackend
    from wasmind.config import KServe
    from wasmind.nn.signature import Signature
    from wasmind.node.messages import Converting, ModelEntry
    from wasmind.telemetry.elsewhere import RemoteMeter


class Elsewhere:
    """A model's servers, and the processes of this node that convert for it, if there are any."""

    def __init__(self, entry: ModelEntry, settings: KServe, meter: RemoteMeter | None) -> None:
        converting = entry.converting
        self._servers = OipBackend(
            entry.name,
            lambda: connect(settings, entry.queue, meter),
            entry.signature if converting is None else converting.served,
            when_down=entry.when_down,
            hedge_ms=settings.hedge_ms,
            meter=meter,
        )
        self.backend: OipBackend | ConvertingBackend = self._servers
        self._converted: ConvertingBackend | None = None
        self._inputs: ProcessBackend | None = None
        self._outputs: ProcessBackend | None = None
        if converting is not None:
            self._inputs = None if converting.inputs is None else process_backend(converting.inputs)
            self._outputs = None if converting.outputs is None else process_backend(converting.outputs)
            self._converted = ConvertingBackend(entry.name, self._servers, self._inputs, self._outputs)
            self.backend = self._converted

    def tell(self, entry: ModelEntry) -> bool:
        """Pass on what the supervisor was told. False: it is another model by now to functions."""
        if entry.converting is not None:
            self._tell_processes(entry.converting)
        if entry.state in GIVEN_UP:
            self._servers.suspend(entry.reason or f"it is {entry.state}")
        elif entry.signature is not None:
            return self._learn(entry, entry.signature)
        return True

    def _tell_processes(self, converting: Converting) -> None:
        for backend, entry in ((self._inputs, converting.inputs), (self._outputs, converting.outputs)):
            if backend is not None and entry is not None:
                tell_process(backend, entry)

    def _learn(self, entry: ModelEntry, signature: Signature) -> bool:
        converting = entry.converting
        if self._converted is None or converting is None:
            known = self._servers.describes(signature)
            self._servers.resume(signature)
            return known
        assert converting.served is not None
        self._servers.resume(converting.served)
        outputs = converting.outputs.signature if converting.outputs is not None else None
        return self._converted.learn(signature, converting.served, outputs)

    async def close(self) -> None:
        """Leave the servers and the processes."""
        parts = (self._servers, self._inputs, self._outputs)
        await asyncio.gather(*(part.close() for part in parts if part is not None))
