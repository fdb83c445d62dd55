"""`wasmind build`: functions from their sources, by their languages' own toolchains."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from wasmind.cli.options import DEFAULT, AsJson, ConfigFile, read
from wasmind.cli.output import document, note, shorten, size, table

if TYPE_CHECKING:
    from wasmind.errors import BuildFailed
    from wasmind.projects.build import Built
    from wasmind.projects.target import Target


def build(
    functions: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FUNCTION]...", help="Functions; default: all that have a source."),
    ] = None,
    config: ConfigFile = DEFAULT,
    json: AsJson = False,
) -> None:
    """Build functions that have a `source`, each with its language's own toolchain.

    Python: componentize-py. JavaScript: componentize-js. C: ziglang. Rust: cargo. AssemblyScript: asc.
    """
    from wasmind.projects.target import targets

    found = targets(read(config), config.parent.resolve(), functions or ())
    built = [shown(target, quiet=json) for target in found]
    if json:
        document(built)
        return
    table(
        ("function", "language", "size", "seconds", "module"),
        [
            (one.function, one.language, size(one.size), f"{one.seconds:.1f}", shorten(one.module))
            for one in built
        ],
        "the configuration has no function with a source",
    )


def shown(target: Target, *, quiet: bool = False) -> Built:
    """Build one function, telling so meanwhile; what a toolchain says against it is printed.

    Raises BuildFailed, ToolMissing.
    """
    from rich.console import Console

    from wasmind.errors import BuildFailed
    from wasmind.projects.build import build as build_one

    try:
        with Console(stderr=True, quiet=quiet).status(f"building {target.name} from {target.source.name} …"):
            return build_one(target)
    except BuildFailed as error:
        if not quiet:
            print_output(error)
        raise


def print_output(error: BuildFailed) -> None:
    """What a toolchain had to say, line by line."""
    from wasmind.telemetry.escape import escape

    for line in error.output.splitlines():
        note(escape(line))
    sys.stderr.flush()
