"""One step of a conversion, once it is known what it must give or is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, NoReturn

from wasmind.errors import ModelLoadFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.nn.signature import TensorSpec
    from wasmind.worker.runtimes.base import Array


def _stays(dimension: int) -> int:
    return dimension


class Stage(NamedTuple):
    """A step between what the function sees and what the model sees."""

    outer: TensorSpec
    """The function's side."""
    run: Callable[[Array], Array]
    """Towards the model for an input, towards the function for an output. Raises ConversionFailed."""
    one_row: bool = False
    """The function's side is one item, whatever its dimensions: the model's batch has one row of it."""
    moved: Callable[[int], int] = _stays
    """Where on the function's side a dimension of the model's side is."""


def impossible(step: str, spec: TensorSpec, why: str, remedy: str) -> NoReturn:
    """Refuse a declaration that does not fit the model. Raises ModelLoadFailed."""
    raise ModelLoadFailed(
        f"the conversion {step} does not fit {spec.name!r}",
        cause=f"{spec.name} is {spec}: {why}",
        remedy=remedy,
    )
