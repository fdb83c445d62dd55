"""`wasmind demo`: a real classifier behind a real function, from nothing."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from wasmind.cli.options import AsJson


class Lang(StrEnum):
    """Languages that the demo's function is written in."""

    C = "c"
    PYTHON = "python"
    JAVASCRIPT = "javascript"


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
    lang: Annotated[
        list[Lang] | None,
        typer.Option(
            metavar="LANGUAGE",
            help="Show the function in c, python, javascript; may be repeated; default: what is at hand.",
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Serve a real image classifier: prepares the model, classifies photos, prints a curl to try.

    The function is in C; Python and JavaScript call the same model where their toolchains are at hand.
    """
    from wasmind.demo.run import Options, run

    options = Options(
        directory=directory,
        photos=tuple(photos or ()),
        port=port,
        api_port=api_port,
        seconds=seconds,
        once=once,
        as_json=json,
        languages=None if lang is None else tuple(each.value for each in lang),
    )
    raise typer.Exit(run(options))
