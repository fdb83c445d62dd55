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
    from wasmind.guest_api.program import Compiled


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
        document([{"name": name, "seconds": seconds, **_facts(found)} for name, found, seconds in rows])
        return
    table(
        ("program", "kind", "sha256", "size", "code", "seconds", "artifact"),
        [
            (
                name,
                found.kind,
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
) -> list[tuple[str, Compiled, float]]:
    from rich.console import Console

    from wasmind.guest_api.program import compile_function_now
    from wasmind.sandbox import CompileLimits

    rows = []
    console = Console(stderr=True)
    for name, path, package in programs:
        began = perf_counter()
        with console.status(f"compiling {name}"):
            limits = CompileLimits(package=package, stack=stack)
            compiled = compile_function_now(path, cache, limits)
        rows.append((name, compiled, perf_counter() - began))
    return rows


def _facts(compiled: Compiled) -> dict[str, object]:
    return {
        "kind": compiled.kind,
        "digest": compiled.digest,
        "size": compiled.size,
        "code_size": compiled.code_size,
        "artifact": str(compiled.path),
        "imports": compiled.imports,
        "exports": compiled.exports,
        "linked": compiled.linked,
    }
