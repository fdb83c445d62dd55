"""Builds a function: its source's language, that one's toolchain, the module put in place as a whole."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from wasmind.errors import BuildFailed
from wasmind.projects.assemblyscript import AssemblyScript
from wasmind.projects.c import C
from wasmind.projects.javascript import JavaScript
from wasmind.projects.python import Python
from wasmind.projects.rust import Rust

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wasmind.projects.language import Language
    from wasmind.projects.target import Target

LANGUAGES: dict[str, Language] = {
    language.name: language for language in (Python(), JavaScript(), C(), Rust(), AssemblyScript())
}
SKIPPED = frozenset({"node_modules", "target", "build", "dist", "__pycache__"})
"""Directories whose files are made, not written; hidden ones are skipped too."""


@dataclass(frozen=True, slots=True)
class Built:
    """A module that was made."""

    function: str
    language: str
    module: Path
    size: int
    seconds: float


def language_of(target: Target) -> Language:
    """The language of a source, by its suffix. Raises BuildFailed."""
    for language in LANGUAGES.values():
        if target.source.suffix in language.suffixes:
            return language
    known = ", ".join(suffix for language in LANGUAGES.values() for suffix in language.suffixes)
    raise BuildFailed(
        f"{target.source.name} is in no language that is known here",
        cause=f"known are {known}",
        remedy="build it by hand, and name the module alone",
    )


def build(target: Target) -> Built:
    """Build a function; its module is replaced only when all went well. Raises BuildFailed, ToolMissing."""
    language = language_of(target)
    if not target.source.is_file():
        raise BuildFailed(f"the source of {target.name} is not there", cause=f"no file {target.source}")
    began = perf_counter()
    try:
        target.module.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=target.module.parent) as directory:
            made = Path(directory) / f"{target.module.stem}.wasm"
            language.build(target, made)
            size = made.stat().st_size
            made.chmod(0o644)
            made.replace(target.module)
    except OSError as error:
        raise BuildFailed(f"{target.module} cannot be written", cause=str(error)) from error
    return Built(target.name, language.name, target.module, size, perf_counter() - began)


def stale(target: Target) -> bool:
    """Whether the module is older than what it is made of, or not there."""
    try:
        made = target.module.stat().st_mtime_ns
    except FileNotFoundError:
        return True
    return any(path.stat().st_mtime_ns > made for path in sources(target))


def sources(target: Target) -> Iterator[Path]:
    """The files that a build may depend on, of those in the project."""
    watched = language_of(target).watched
    for directory, names, files in os.walk(target.directory):
        names[:] = [name for name in names if not skipped(name)]
        yield from (Path(directory, file) for file in files if Path(file).suffix in watched)


def skipped(name: str) -> bool:
    """Whether a directory of this name holds no sources."""
    return name in SKIPPED or name.startswith(".")
