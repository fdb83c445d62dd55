"""What is to be built: one function of a configuration that has a source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wasmind.errors import BuildFailed, ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmind.config import Config


@dataclass(frozen=True, slots=True)
class Target:
    """One function to build."""

    name: str
    source: Path
    module: Path
    directory: Path
    """The project's."""
    models: bool = False
    """Whether it calls models, and so is to be built with wasi-nn. Hosts without it run the others."""


def targets(config: Config, directory: Path, names: Sequence[str] = ()) -> list[Target]:
    """The functions of a configuration that have a source, or those of them that are named.

    Raises ConfigError for names that are not there, BuildFailed for functions without a source.
    """
    for name in names:
        if name not in config.functions:
            known = ", ".join(config.functions) or "none"
            raise ConfigError(f"the configuration has no function {name!r}", cause=f"known are: {known}")
        if config.functions[name].source is None:
            raise BuildFailed(
                f"the function {name!r} has no source",
                remedy=f'write source = "FILE" under [functions.{name}]',
            )
    return [
        Target(name, found.source, found.module, directory, bool(found.models) or found.allow_load)
        for name, found in config.functions.items()
        if found.source is not None and (not names or name in names)
    ]
