"""`wasmind init`: a new project, with a function that answers with a model."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from wasmind.cli.options import AsJson
from wasmind.cli.output import document, note, say

if TYPE_CHECKING:
    from wasmind.nn.signature import TensorSpec
    from wasmind.projects.template import Model, Port

Lang = Literal["python", "javascript", "c", "rust", "assemblyscript"]


def init(
    name: Annotated[
        str, typer.Argument(help="The function's name, and the directory's.", show_default=False)
    ],
    lang: Annotated[Lang, typer.Option("--lang", "-l", help="The language of the function.")] = "python",
    model: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The model that it calls; default: one of 130 bytes, y = 2x + 1."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Write a new project into the directory NAME: a function that answers with a model, and its node."""
    from wasmind.projects.template import INSTALL, write

    directory = Path(name)
    found = None if model is None else _described(model, directory)
    files = write(directory, directory.name, lang, found)
    if json:
        document({"directory": directory, "language": lang, "files": files, "install": INSTALL[lang]})
        return
    for file in files:
        note(f"  {file}")
    say(f"Next:\n  cd {directory}\n  {INSTALL[lang]}\n  wasmind dev")


def _described(path: Path, directory: Path) -> Model:
    """The model as a template needs it. Raises ModelLoadFailed, BuildFailed."""
    import asyncio

    from wasmind.errors import BuildFailed
    from wasmind.projects.template import Model

    inputs, outputs = asyncio.run(_signature(path))
    if len(inputs) != 1 or not outputs:
        names = ", ".join(port.name for port in inputs) or "none"
        raise BuildFailed(
            f"a project cannot be written for {path}",
            cause=f"it takes one input and gives an output, and this model's inputs are {names}",
            remedy="begin without --model, and edit what was written",
        )
    name = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "model"
    return Model(name, os.path.relpath(path, directory), inputs[0], outputs[0])


async def _signature(path: Path) -> tuple[list[Port], list[Port]]:
    """What a model takes and gives, told by loading it once in a confined process."""
    import tempfile

    from wasmind import config
    from wasmind.cli.local import start

    with tempfile.TemporaryDirectory(prefix="wasmind-") as directory:
        started = await start("model", config.Model(path=path.absolute()), Path(directory) / "m")
        await started.close()
    signature = started.graph.signature
    return [_port(spec) for spec in signature.inputs], [_port(spec) for spec in signature.outputs]


def _port(spec: TensorSpec) -> Port:
    from wasmind.projects.template import Port

    dims = spec.dims or ()
    return Port(spec.name, spec.type.value, tuple(size if isinstance(size, int) else -1 for size in dims))
