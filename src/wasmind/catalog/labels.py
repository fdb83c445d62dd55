"""Labels: what the positions of a model's output mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from wasmind.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from wasmind.nn.signature import Signature

MAX_SIZE = 16 << 20
"""The largest labels file, in bytes."""

_SHAPES = 'one label per line, or JSON: ["cat", "dog"] or {"0": "cat", "1": "dog"}'


def read(path: Path) -> tuple[str, ...]:
    """The labels in `path`, by position: one per line, or JSON (a list, or an object from position to label).

    Raises ConfigError.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SIZE + 1)
        if len(data) > MAX_SIZE:
            raise ConfigError(
                f"the labels file {path} is over {MAX_SIZE >> 20} MiB", remedy=f"give {_SHAPES}"
            )
        text = data.decode("utf-8-sig")
        labels = _json(text) if text.lstrip()[:1] in ("[", "{") else _lines(text)
    except OSError as error:
        raise ConfigError(f"the labels file {path} cannot be read", cause=error.strerror) from error
    except ValueError as error:
        raise ConfigError(
            f"the labels file {path} has no labels that can be read",
            cause=str(error),
            remedy=f"give {_SHAPES}",
        ) from error
    if not labels:
        raise ConfigError(f"the labels file {path} is empty", remedy=f"give {_SHAPES}")
    return labels


def check(name: str, labels: tuple[str, ...], signature: Signature) -> None:
    """Refuse labels that fit no output of the model `name`. Raises ConfigError."""
    if not labels:
        return
    sizes = {dim for output in signature.outputs for dim in output.dims or (None,)}
    if len(labels) in sizes or not all(isinstance(size, int) for size in sizes):
        return
    outputs = ", ".join(f"{output.name}: {output}" for output in signature.outputs)
    raise ConfigError(
        f"models.{name}: there are {len(labels)} labels, and no output has so many values",
        cause=f"the outputs are {outputs}",
        remedy="give one label per position of an output, in its order",
    )


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.rstrip().splitlines()) if text.strip() else ()


def _json(text: str) -> tuple[str, ...]:
    found: Any = msgspec.json.decode(text, type=list[str] | dict[str, str])
    if isinstance(found, list):
        return tuple(found)
    positions = {int(key): label for key, label in found.items()}
    if set(positions) != set(range(len(found))):
        raise ValueError(f"the positions are not 0 to {len(found) - 1}")
    return tuple(positions[position] for position in range(len(found)))
