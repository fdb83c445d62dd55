"""Stand-ins that cannot stand in: found as soon as what both models take is known, not when one is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmind.errors import ConfigError
from wasmind.nn.substitute import match

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wasmind.node.models import ServedModel
    from wasmind.telemetry.logs import Logger


def warn_of_misfits(models: Mapping[str, ServedModel], changed: str, logger: Logger) -> None:
    """Log each model that another is to stand in for and cannot, where one of them has the id `changed`."""
    for first, other in _pairs(models, changed):
        signature, others = first.entry.signature, other.entry.signature
        if signature is None or others is None:
            continue
        try:
            match(signature, others)
        except ConfigError as error:
            logger.warning(
                "a model cannot stand in for another",
                model=first.plan.name,
                stand_in=other.plan.name,
                cause=error.message,
            )


def _pairs(models: Mapping[str, ServedModel], changed: str) -> Iterator[tuple[ServedModel, ServedModel]]:
    for id_, first in models.items():
        alternative = first.plan.alternative
        if alternative is not None and changed in (id_, alternative.id):
            other = models.get(alternative.id)
            if other is not None:
                yield first, other
