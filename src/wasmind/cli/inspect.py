"""Looks at one model closely: its card, with its signature and what it took."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from wasmind.catalog.card import ModelCard, card_of
from wasmind.catalog.digests import Digests
from wasmind.catalog.figures import Figures
from wasmind.catalog.model import read_model
from wasmind.catalog.signatures import Signatures
from wasmind.cli.local import LocalModel, RemoteModel, start
from wasmind.config import NO_DEVICES
from wasmind.node.report import measured

if TYPE_CHECKING:
    from wasmind.config import Devices, Model


async def describe(
    name: str, settings: Model, state: Path, devices: Devices = NO_DEVICES
) -> tuple[ModelCard, list[str]]:
    """A model's card, and its files or servers; its signature as known from an earlier run, else by loading
    it now.
    """
    record = await asyncio.to_thread(read_model, name, settings, Digests(state / "digests"))
    signatures = Signatures(state / "signatures")
    signature = signatures.get(record.digest, record.runtime) if record.runtime else None
    if signature is None:
        with tempfile.TemporaryDirectory(prefix="wasmind-") as directory:
            model = await start(name, settings, Path(directory) / "m", devices)
            await model.close()
        signature = model.graph.signature
        signatures.put(record.digest, model.plan.spec.runtime, signature)
        keep_figures(model, state)
    card = card_of(
        record.card,
        settings,
        name=name,
        digest=record.digest,
        encoding=record.encoding or "remote",
        runtime=record.runtime or "kserve",
        signature=signature,
        labels=record.labels,
        figures=Figures(state / "figures").of(record.digest),
    )
    servers = [] if record.encoding else _servers(settings)
    return card, [*servers, *(file.path for file in record.files)]


def document_of(card: ModelCard, files: list[str]) -> dict[str, Any]:
    """The same as one JSON document."""
    return {**msgspec.to_builtins(card), "files": files}


def keep_figures(model: LocalModel | RemoteModel, state: Path) -> None:
    """Keep what a model's process took, for its card."""
    if isinstance(model, LocalModel):
        with suppress(OSError):  # measured again next time
            Figures(state / "figures").put(model.plan.digest, model.plan.spec.runtime, measured(model.ready))


def _servers(settings: Model) -> list[str]:
    return list(settings.kserve.urls) if settings.kserve else []
