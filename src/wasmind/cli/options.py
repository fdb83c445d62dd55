"""Options that many commands take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from wasmind.config import Config

DEFAULT = Path("wasmind.toml")

ConfigFile: TypeAlias = Annotated[
    Path, typer.Option("-c", "--config", metavar="FILE", help="The node's configuration.", show_default=True)
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def read(path: Path) -> Config:
    """The configuration at `path`. Raises ConfigError."""
    from wasmind import config

    return config.load(path)


def read_if_there(path: Path) -> Config:
    """The same, but a default file that does not exist means an empty configuration."""
    from wasmind import config

    if path == DEFAULT and not path.exists():
        return config.parse({}, Path.cwd())
    return config.load(path)
