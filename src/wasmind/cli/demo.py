"""`wasmind demo`: a real classifier behind a real function, from nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from wasmind.cli.options import AsJson


def demo(
    once: Annotated[bool, typer.Option("--once", help="Print the answers and end.")] = False,
    json: AsJson = False,
) -> None:
    """Serve a real image classifier: prepares the model, classifies photos, prints a curl to try."""
    from wasmind.demo import run  # type: ignore[import-not-found]

    raise typer.Exit(run(once=once, as_json=json))
