"""`wasmind models`: which models there are, what they take and give, whether they run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wasmind.cli.options import DEFAULT, AsJson, ConfigFile, fetched, read
from wasmind.cli.output import document, reported, say, shorten, table
from wasmind.cli.storage import pull, push

if TYPE_CHECKING:
    from wasmind.config import Config, Model
    from wasmind.node.status import ModelStatus

app = typer.Typer(help="Models of the configuration.", no_args_is_help=True)
app.command("push")(push)
app.command("pull")(pull)
Name = Annotated[str, typer.Argument(help="The model's name in the configuration.", show_default=False)]


@app.command("ls")
@reported
def ls(config: ConfigFile = DEFAULT, json: AsJson = False) -> None:
    """List models, with their state where a node runs."""
    settings = read(config)
    states = _states(settings)
    rows = [_summary(name, model, states.get(name)) for name, model in settings.models.items()]
    if json:
        document(rows)
    else:
        table(
            ("model", "scope", "encoding", "runtime", "state", "description", "path"),
            [tuple(row.values()) for row in rows],
            "the configuration has no models",
        )


@app.command("show")
@reported
def show(name: Name, config: ConfigFile = DEFAULT, json: AsJson = False) -> None:
    """Show a model: files, inputs, outputs. One that never ran here is loaded once, in a confined process."""
    import asyncio

    from wasmind.cli.inspect import describe

    settings = read(config)
    found = asyncio.run(describe(name, _here(settings, name), settings.node.state))
    if json:
        from wasmind.cli.output import document

        document(found)
    else:
        _print(found, _states(settings).get(name))


@app.command("test")
@reported
def try_(
    name: Name,
    npz: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Inputs by name, from numpy.savez.")
    ] = None,
    image: Annotated[Path | None, typer.Option(metavar="FILE", help="A photo for the image input.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many inferences to time.")] = 20,
    config: ConfigFile = DEFAULT,
    json: AsJson = False,
) -> None:
    """Run a model in a confined process of its own, on random or given input; print outputs and latency."""
    import asyncio

    from wasmind.cli.inspect import try_out

    found = asyncio.run(try_out(name, _here(read(config), name), npz, image, count))
    if json:
        document(found)
        return
    for tensor in (*found["inputs"], *found["outputs"]):
        say(f"{tensor['kind']:6} {tensor['name']}: {tensor['tensor']}  {tensor['summary']}")
    for label, value in found["top"]:
        say(f"       {value:.4f}  {label}")
    times = ", ".join(f"{key} {value:.3f} ms" for key, value in found["latency_ms"].items())
    say(f"{count} inferences: {times}")
    say(f"loaded in {found['load_ms']:.0f} ms by {found['runtime']}")


def _model(config: Config, name: str) -> Model:
    from wasmind.errors import ModelNotFound

    if name not in config.models:
        known = ", ".join(sorted(config.models)) or "none"
        raise ModelNotFound(f"the configuration has no model {name!r}", cause=f"known are: {known}")
    return config.models[name]


def _here(config: Config, name: str) -> Model:
    """The model, fetched if it is kept elsewhere."""
    import msgspec

    return fetched(msgspec.structs.replace(config, models={name: _model(config, name)})).models[name]


def _states(config: Config) -> dict[str, ModelStatus]:
    """The models of the running node, if one runs."""
    from wasmind.errors import NodeError
    from wasmind.node.client import ask

    try:
        return {model.name: model for model in ask(config.node.state, "status", 5.0).models}
    except (NodeError, FileNotFoundError):
        return {}


def _summary(name: str, model: Model, status: ModelStatus | None) -> dict[str, str]:
    where = (
        shorten(model.path) if model.path else model.source or str(model.kserve.url if model.kserve else "")
    )
    return {
        "name": name,
        "scope": model.scope,
        "encoding": status.encoding if status else model.encoding,
        "runtime": status.runtime if status else model.runtime or "default",
        "state": status.state if status else "not running",
        "description": model.description,
        "path": where,
    }


def _print(found: dict[str, Any], status: ModelStatus | None) -> None:
    say(f"{found['name']} ({found['encoding']}, {found['runtime']}), sha256 {found['digest'][:16]}…")
    if found["description"]:
        say(found["description"])
    for file in found["files"]:
        say(f"  file   {file}")
    for kind in ("input", "output"):
        for index, tensor in enumerate(found[f"{kind}s"]):
            say(f"  {kind:6} {index} {tensor['name']}: {tensor['tensor']}")
    if found["labels"]:
        say(f"  labels {found['labels']}")
    if status:
        say(f"  state  {status.state}" + (f": {status.reason}" if status.reason else ""))
