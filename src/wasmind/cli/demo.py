"""`wasmind demo`: a real classifier behind a real function, from nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wasmind.cli.options import AsJson


def demo(
    photos: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PHOTO]...", help="Photos to classify; default: some samples."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Print the answers and end.")] = False,
    port: Annotated[int | None, typer.Option(help="Port of the function; 0: a free one.")] = None,
    api_port: Annotated[int | None, typer.Option(help="Port of the API; 0: a free one.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to measure.")] = 3.0,
    directory: Annotated[
        Path, typer.Option("--dir", help="Where the model and the node's state are kept.")
    ] = Path(".wasmind/demo"),
    json: AsJson = False,
) -> None:
    """Serve a real image classifier: prepares the model, classifies photos, prints a curl to try."""
    from wasmind.demo.run import Options, run

    options = Options(
        directory=directory,
        photos=tuple(photos or ()),
        port=port,
        api_port=api_port,
        seconds=seconds,
        once=once,
        as_json=json,
    )
    raise typer.Exit(run(options))
