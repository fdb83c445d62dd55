"""`wasmind functions`: what is routed where, and what it may use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from wasmind.cli.options import DEFAULT, AsJson, ConfigFile, read
from wasmind.cli.output import document, reported, shorten, size, table

if TYPE_CHECKING:
    from wasmind.config import Function

app = typer.Typer(help="Functions of the configuration.", no_args_is_help=True)


@app.command("ls")
@reported
def ls(config: ConfigFile = DEFAULT, json: AsJson = False) -> None:
    """List functions: routes, models they may name, limits."""
    from msgspec.structs import asdict

    found = read(config).functions
    if json:
        document({name: {**asdict(each), "program": _program(each)} for name, each in found.items()})
        return
    table(
        ("function", "program", "routes", "methods", "models", "cpu", "memory", "module"),
        [
            (
                name,
                _program(function),
                " ".join((function.host or "") + route for route in function.routes),
                " ".join(function.methods or ("any",)),
                " ".join(function.models) or "-",
                f"{function.limits.cpu_ms:g} ms",
                size(function.limits.memory),
                shorten(function.module),
            )
            for name, function in found.items()
        ],
        "the configuration has no functions",
    )


def _program(function: Function) -> str:
    """What its program is, told from the file's first bytes."""
    from wasmind.component.binary.reader import is_component

    try:
        with function.module.open("rb") as file:
            start = file.read(8)
    except OSError:
        return "missing"
    if not start.startswith(b"\0asm"):
        return "not WebAssembly"
    return "component" if is_component(start) else "module"
