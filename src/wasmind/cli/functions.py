"""`wasmind functions`: what is routed where, and what it may use."""

from __future__ import annotations

import typer

from wasmind.cli.options import DEFAULT, AsJson, ConfigFile, read
from wasmind.cli.output import document, reported, shorten, size, table

app = typer.Typer(help="Functions of the configuration.", no_args_is_help=True)


@app.command("ls")
@reported
def ls(config: ConfigFile = DEFAULT, json: AsJson = False) -> None:
    """List functions: routes, models they may name, limits."""
    found = read(config).functions
    if json:
        document(found)
        return
    table(
        ("function", "routes", "methods", "models", "cpu", "memory", "module"),
        [
            (
                name,
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
