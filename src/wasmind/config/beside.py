"""Files that conversions, cards and devices name: relative ones are beside the file that names them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from wasmind.config.card import Card, Example
from wasmind.config.convert import Converted, Step
from wasmind.config.device import Device, Devices


def converted_beside(found: dict[str, Converted] | None, base: Path) -> dict[str, Converted] | None:
    """Conversions whose tokenizers, if relative, are in `base`."""
    if found is None:
        return None
    return {
        name: msgspec.structs.replace(one, convert=[_step(each, base) for each in one.steps])
        for name, one in found.items()
    }


def card_beside(card: Card | str | None, base: Path) -> Card | str | None:
    """A card, or its file, whose paths, if relative, are in `base`."""
    if isinstance(card, Card):
        return msgspec.structs.replace(card, example=example_beside(card.example, base))
    return _within(card, base) if card else None


def example_beside(example: Example, base: Path) -> Example:
    """An example whose files, if relative, are in `base`."""
    files = {
        name: _within(path, base) for name in ("image", "npz") if (path := getattr(example, name)) is not None
    }
    return msgspec.structs.replace(example, **files)


def devices_beside(devices: Devices, base: Path) -> Devices:
    """Devices whose files, if relative, are in `base`."""
    return Devices(**{target: _device(device, base) for target, device in devices.given.items()})


def _device(device: Device, base: Path) -> Device:
    nodes, read = ([_within(path, base) for path in paths] for paths in (device.nodes, device.read))
    return msgspec.structs.replace(device, nodes=nodes, read=read)


def _step(step: Step, base: Path) -> Step:
    if step.text is None:
        return step
    text = msgspec.structs.replace(step.text, tokenizer=_within(step.text.tokenizer, base))
    return msgspec.structs.replace(step, text=text)


def _within(path: str, base: Path) -> str:
    return str(base / Path(path).expanduser())
