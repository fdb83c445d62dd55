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


def state_of(path: Path) -> Path:
    """The state directory of the node whose configuration is at `path`, even if that cannot be read now.

    Then it is the default one, if a node was there. Raises ConfigError.
    """
    from wasmind.config import Node
    from wasmind.errors import ConfigError

    try:
        return read_if_there(path).node.state
    except ConfigError:
        fallback = path.parent / Node().state
        if (fallback / "lock").exists():
            return fallback
        raise


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


def fetched(config: Config) -> Config:
    """The configuration with the models that are kept elsewhere fetched. Raises ModelLoadFailed."""
    from wasmind.catalog.storage.fetch import localized
    from wasmind.catalog.storage.store import STORE, Store
    from wasmind.cli.progress import shown_transfers

    with shown_transfers() as transfers:
        return localized(config, Store(config.node.state / STORE), transfers)


def cache_of(path: Path, config: Config) -> Path:
    """Where compiled programs are kept: with the node's state, or without one in the user's cache."""
    import os

    if path.exists():
        return config.node.state / "cache"
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "wasmind"
