"""A model's card on a terminal."""

from __future__ import annotations

import textwrap
import time
from typing import TYPE_CHECKING

from wasmind.cli.output import say, size
from wasmind.telemetry.escape import escape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wasmind.catalog.card import CardTensor, ModelCard
    from wasmind.catalog.figures import Measured

_WIDTH = 96


def print_card(card: ModelCard, files: Sequence[str]) -> None:
    """Print all of it."""
    say(escape(f"{card.name} ({card.encoding}, {card.runtime}), sha256 {card.digest[:16]}…"))
    for paragraph in (card.description, card.notes):
        for line in _wrapped(paragraph):
            say(line)
    for file in files:
        say(escape(f"  file   {file}"))
    for kind, tensors in (("input", card.inputs), ("output", card.outputs)):
        for index, tensor in enumerate(tensors):
            for line in _tensor(kind, index, tensor):
                say(escape(line))
    if card.labels:
        more = ", …" if card.labels > len(card.first_labels) else ""
        say(escape(f"  labels {card.labels}: {', '.join(card.first_labels)}{more}"))
    for name, value in (("licence", card.licence), ("source", card.source), ("answer", card.answer)):
        if value:
            say(escape(f"  {name} {value}"))
    for kind, value in card.example.items():
        say(escape(f"  example {kind} {value}"))
    for figures in card.figures:
        say(escape(f"  on this node, {_figures(figures)}"))


def _wrapped(text: str) -> Iterator[str]:
    for line in text.splitlines():
        yield from textwrap.wrap(escape(line), _WIDTH) or [""]


def _tensor(kind: str, index: int, tensor: CardTensor) -> Iterator[str]:
    yield f"  {kind:6} {index} {tensor.name}: {tensor.tensor}"
    if tensor.meaning:
        yield f"           {tensor.meaning}"
    if tensor.converted:
        arrow = " → ".join(tensor.converted)
        yield f"           converted: {arrow}"


def _figures(figures: Measured) -> str:
    run = f"{figures.run_ms:.3f} ms an inference, " if figures.run_ms is not None else ""
    when = time.strftime("%Y-%m-%d", time.gmtime(figures.at))
    return (
        f"{figures.runtime}: {run}loaded in {figures.load_ms + figures.warm_up_ms:.0f} ms, "
        f"{size(figures.memory)} resident ({when})"
    )
