"""`wasmind compile`: programs checked and compiled ahead of `serve`, which then starts at once."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from wasmind.cli.options import DEFAULT, AsJson, ConfigFile, cache_of, read, read_if_there
from wasmind.cli.output import document, size, table

if TYPE_CHECKING:
    from wasmind.config import Config
    from wasmind.sandbox import Artifact


def compile_(
    modules: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[MODULE]...", help="Programs; default: all of the configuration."),
    ] = None,
    config: ConfigFile = DEFAULT,
    json: AsJson = False,
) -> None:
    """Check and compile programs into the artifact cache, in a child process with limits."""
    settings = read_if_there(config) if modules else read(config)
    rows = _compiled(_programs(modules, settings), cache_of(config, settings), settings.stack)
    if json:
        document([{"name": name, "seconds": seconds, **_facts(artifact)} for name, artifact, seconds in rows])
        return
    table(
        ("program", "sha256", "size", "code", "seconds", "artifact"),
        [
            (
                name,
                found.digest[:12],
                size(found.size),
                size(found.code_size),
                f"{seconds:.2f}",
                found.path.name,
            )
            for name, found, seconds in rows
        ],
        "the configuration has no functions",
    )


def _programs(modules: list[Path] | None, config: Config) -> list[tuple[str, Path, int]]:
    """Each program's name, file and size limit."""
    from wasmind.config import Limits

    if modules:
        return [(path.name, path, Limits().package) for path in modules]
    return [(name, found.module, found.limits.package) for name, found in config.functions.items()]


def _compiled(
    programs: list[tuple[str, Path, int]], cache: Path, stack: int
) -> list[tuple[str, Artifact, float]]:
    from rich.console import Console

    from wasmind.guest_api.command import INTERFACES
    from wasmind.sandbox import CompileLimits, compile_program_now

    rows = []
    console = Console(stderr=True)
    for name, path, package in programs:
        began = perf_counter()
        with console.status(f"compiling {name}"):
            limits = CompileLimits(package=package, stack=stack)
            artifact = compile_program_now(path, cache, INTERFACES, limits)
        rows.append((name, artifact, perf_counter() - began))
    return rows


def _facts(artifact: Artifact) -> dict[str, object]:
    return {
        "digest": artifact.digest,
        "size": artifact.size,
        "code_size": artifact.code_size,
        "artifact": str(artifact.path),
        "imports": [f"{found.module}.{found.name}" for found in artifact.imports],
        "exports": [found.name for found in artifact.exports],
    }
