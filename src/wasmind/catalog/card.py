"""A model's card: all that people should know of it, in one document that everything shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from wasmind.catalog.figures import Measured
from wasmind.config import Card, example_beside
from wasmind.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmind.config import Converted, Model, Step
    from wasmind.nn.signature import Signature, TensorSpec

MAX_SIZE = 1 << 20
"""The largest card file, in bytes."""
_FENCE = "+++"
_SHAPES = "give TOML, or Markdown that begins with TOML between two lines of +++"
_SHOWN_LABELS = 12


class CardTensor(msgspec.Struct, frozen=True, kw_only=True):
    """One input or output, as functions see it."""

    name: str
    tensor: str
    """Its type and shape."""
    meaning: str = ""
    converted: tuple[str, ...] = ()
    """The steps between the function and the model, in the order in which data passes."""


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """A model, for people."""

    name: str
    scope: str
    digest: str
    """Its version."""
    encoding: str
    runtime: str
    description: str = ""
    licence: str = ""
    source: str = ""
    notes: str = ""
    inputs: tuple[CardTensor, ...] = ()
    outputs: tuple[CardTensor, ...] = ()
    """Inputs and outputs are empty until the model was loaded once."""
    labels: int = 0
    first_labels: tuple[str, ...] = ()
    example: dict[str, str] = {}
    """`image`, `text` or `npz`, with the file or the text."""
    answer: str = ""
    """What it gives for the example."""
    figures: tuple[Measured, ...] = ()
    """What it took on this node, the newest first."""


def read_card(model: Model) -> Card:
    """What the configuration says of a model, or the file that it names. Raises ConfigError."""
    told = model.card
    if isinstance(told, str):
        told = _from_file(Path(told))
    told = told or Card()
    if model.description and not told.description:
        told = msgspec.structs.replace(told, description=model.description)
    return told


def card_of(
    told: Card,
    model: Model,
    *,
    name: str,
    digest: str,
    encoding: str,
    runtime: str,
    signature: Signature | None,
    labels: Sequence[str] = (),
    figures: tuple[Measured, ...] = (),
) -> ModelCard:
    """The whole card; `told` is what people wrote, the rest is known of the model."""
    inputs, outputs = (signature.inputs, signature.outputs) if signature else ((), ())
    return ModelCard(
        name=name,
        scope=model.scope,
        digest=digest,
        encoding=encoding,
        runtime=runtime,
        description=told.description,
        licence=told.licence,
        source=told.source,
        notes=told.notes,
        inputs=tuple(_tensor(spec, told.inputs, model.inputs) for spec in inputs),
        outputs=tuple(_tensor(spec, told.outputs, model.outputs) for spec in outputs),
        labels=len(labels),
        first_labels=tuple(labels[:_SHOWN_LABELS]),
        example={kind: str(getattr(told.example, kind)) for kind in told.example.given},
        answer=told.answer,
        figures=figures,
    )


def _tensor(spec: TensorSpec, meanings: dict[str, str], declared: dict[str, Converted]) -> CardTensor:
    converted = declared.get(spec.name)
    return CardTensor(
        name=spec.name,
        tensor=str(spec),
        meaning=meanings.get(spec.name, ""),
        converted=tuple(map(_said, converted.steps)) if converted else (),
    )


def _said(step: Step) -> str:
    """A step with those of its settings that are not the usual ones."""
    (kind,) = step.kinds
    settings: Any = getattr(step, kind)
    if settings is True:
        return kind
    if isinstance(settings, str):
        return f"{kind} {settings}"
    told = [
        f"{field.name} {_plain(getattr(settings, field.name))}"
        for field in msgspec.structs.fields(settings)
        if getattr(settings, field.name) != field.default
    ]
    return f"{kind}: {', '.join(told)}" if told else kind


def _plain(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    return Path(value).name if isinstance(value, str) and "/" in value else str(value)


def _from_file(path: Path) -> Card:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SIZE + 1)
        if len(data) > MAX_SIZE:
            raise ConfigError(f"the card {path} is over {MAX_SIZE >> 20} MiB", remedy=_SHAPES)
        text = data.decode("utf-8-sig")
        settings, notes = (text, "") if path.suffix == ".toml" else _parts(text)
        card = msgspec.toml.decode(settings, type=Card)
    except OSError as error:
        raise ConfigError(f"the card {path} cannot be read", cause=error.strerror) from error
    except (ValueError, RecursionError) as error:  # also msgspec's
        raise ConfigError(f"the card {path} cannot be read", cause=str(error), remedy=_SHAPES) from error
    if len(card.example.given) > 1:
        raise ConfigError(f"the card {path} has more than one example", remedy="give image, text or npz")
    return msgspec.structs.replace(
        card, notes=card.notes or notes.strip(), example=example_beside(card.example, path.parent)
    )


def _parts(text: str) -> tuple[str, str]:
    """The settings and the notes of a Markdown file. Raises ValueError."""
    lines = text.splitlines()
    if not lines or lines[0].strip() != _FENCE:
        if lines and lines[0].strip() == "---":
            raise ValueError("it begins with --- (YAML), and what is read is TOML between two lines of +++")
        return "", text
    for index, line in enumerate(lines[1:], 1):
        if line.strip() == _FENCE:
            return "\n".join(lines[1:index]), "\n".join(lines[index + 1 :])
    raise ValueError("the second line of +++ is missing")
