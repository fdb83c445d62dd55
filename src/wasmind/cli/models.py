"""`wasmind models`: which models there are, what they take and give, whether they run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from wasmind.cli.options import DEFAULT, AsJson, ConfigFile, fetched, read
from wasmind.cli.output import document, reported, say, shorten, size, table
from wasmind.cli.storage import pull, push
from wasmind.config.versions import names_of, settings_of

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    rows = [
        _summary(name, model, number, one, states)
        for name, model in settings.models.items()
        for number, one in settings_of(model).items()
    ]
    if json:
        document(rows)
    else:
        table(
            ("model", "names", "scope", "encoding", "runtime", "state", "description", "path"),
            [tuple(row.values()) for row in rows],
            "the configuration has no models",
        )


@app.command("show")
@reported
def show(name: Name, config: ConfigFile = DEFAULT, json: AsJson = False) -> None:
    """Show a model's card: files, inputs, outputs, figures. One that never ran here is loaded once for it."""
    import asyncio

    from wasmind.cli.cards import print_card
    from wasmind.cli.inspect import describe, document_of

    settings = read(config)
    card, files = asyncio.run(describe(name, _here(settings, name), settings.node.state, settings.devices))
    if json:
        document(document_of(card, files))
        return
    print_card(card, files)
    status = _states(settings).get(name)
    if status:
        say(f"  state  {status.state}" + (f": {status.reason}" if status.reason else ""))
        for one in status.converters:
            process = (
                f"process {one.pid}, {size(one.memory)} resident" if one.pid else one.reason or "no process"
            )
            say(f"  {one.side} converted here: {one.state}, {process}")


@app.command("test")
@reported
def try_(
    name: Name,
    npz: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Inputs by name, from numpy.savez.")
    ] = None,
    image: Annotated[Path | None, typer.Option(metavar="FILE", help="A photo for the image input.")] = None,
    text: Annotated[str | None, typer.Option(help="A text for the text input.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many inferences to time.")] = 20,
    config: ConfigFile = DEFAULT,
    json: AsJson = False,
) -> None:
    """Run a model in a confined process of its own; print outputs, labels and times.

    Without an input it is the example of the model's card, else one that is made up.
    """
    import asyncio

    from wasmind.cli.trial import Given, try_out
    from wasmind.errors import InvalidArgument

    given = Given(npz, image, text)
    if sum(one is not None for one in given) > 1:
        raise InvalidArgument("give one of --npz, --image and --text")
    settings = read(config)
    found = asyncio.run(
        try_out(name, _here(settings, name), settings.node.state, given, count, settings.devices)
    )
    if json:
        document(found)
        return
    from wasmind.telemetry.escape import escape

    for tensor in (*found["inputs"], *found["outputs"]):
        say(escape(f"{tensor['kind']:6} {tensor['name']}: {tensor['tensor']}  {tensor['summary']}"))
    for label, value in found["top"]:
        say(escape(f"       {value:.4f}  {label}"))
    if found["source"] != "given":
        say(f"the input is {found['source']}")
    times = ", ".join(f"{key} {value:.3f} ms" for key, value in found["latency_ms"].items())
    say(f"{count} inferences: {times}")
    say(f"loaded in {found['load_ms']:.0f} ms by {found['runtime']}")
    for note in found["notes"]:
        say(escape(f"note: {note}"))


@app.command("load")
@reported
def load(name: Name, config: ConfigFile = DEFAULT, json: AsJson = False) -> None:
    """Have the running node load a model now, and wait until it serves."""
    _tell(config, "load", name, json)


@app.command("unload")
@reported
def unload(name: Name, config: ConfigFile = DEFAULT, json: AsJson = False) -> None:
    """Have the running node take a model out of memory until it is loaded again, or the node reloads."""
    _tell(config, "unload", name, json)


def _tell(config: Path, command: Literal["load", "unload"], name: str, json: bool) -> None:
    from wasmind.node.client import ask

    models = ask(read(config).node.state, command, model=name).models
    found = next(model for model in models if name == model.id or name in model.names)
    if json:
        document(found)
    else:
        say(f"{found.title} is {found.state}" + (f": {found.reason}" if found.reason else ""))


def _model(config: Config, name: str) -> Model:
    """The settings that `name`, `name@3` or `name:stable` means."""
    from wasmind.config.versions import Reference, bad_reference, number_of
    from wasmind.errors import ModelNotFound

    wrong = bad_reference(config.models, name)
    if wrong is not None:
        raise ModelNotFound(f"the configuration has no model {name!r}", cause=wrong)
    reference = Reference.parse(name)
    model = config.models[reference.model]
    return settings_of(model)[number_of(model, reference)]


@app.command("export")
@reported
def export(
    name: Name,
    kserve: Annotated[bool, typer.Option("--kserve", help="As KServe's InferenceService.")] = False,
    storage_uri: Annotated[
        str | None, typer.Option(metavar="URI", help="Where the cluster finds it; else the model's `source`.")
    ] = None,
    grpc: Annotated[bool, typer.Option("--grpc", help="To be asked by gRPC instead of REST.")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write it here.")] = None,
    config: ConfigFile = DEFAULT,
    json: AsJson = False,
) -> None:
    """Write a manifest that serves the same artifact elsewhere."""
    from wasmind.catalog.digests import Digests
    from wasmind.catalog.model import read_model
    from wasmind.cli import export as manifests
    from wasmind.errors import ConfigError, UnsupportedOperation

    if not kserve:
        raise UnsupportedOperation("export what?", remedy="say --kserve: no other form is known")
    record = read_model(name, _here(read(config), name), Digests())
    made = manifests.manifest(record, storage_uri, "grpc" if grpc else "rest")
    service = made["metadata"]["name"]
    if json:
        document(made)
        return
    text = manifests.as_yaml(made)
    if out is None:
        say(text.rstrip())
        return
    try:
        out.write_text(text)
    except OSError as error:
        raise ConfigError(f"cannot write {out}", cause=error.strerror) from error
    say(f"{out}: the InferenceService {service}. Once it is ready, under [models.{name}]:")
    say("  " + manifests.settings_for(service, service, "grpc" if grpc else "rest"))


def _here(config: Config, name: str) -> Model:
    """The model, fetched if it is kept elsewhere."""
    import msgspec

    return fetched(msgspec.structs.replace(config, models={name: _model(config, name)})).models[name]


def _states(config: Config) -> dict[str, ModelStatus]:
    """The models of the running node, if one runs."""
    from wasmind.errors import NodeError
    from wasmind.node.client import ask

    try:
        models = ask(config.node.state, "status", 5.0).models
        return {name: model for model in models for name in (model.title, *model.names)}
    except (NodeError, FileNotFoundError):
        return {}


def _summary(
    name: str, whole: Model, number: int | None, model: Model, states: Mapping[str, ModelStatus]
) -> dict[str, str]:
    where = (
        shorten(model.path) if model.path else model.source or str(model.kserve.url if model.kserve else "")
    )
    title = name if number is None else f"{name}@{number}"
    status = states.get(title)
    return {
        "name": title,
        "names": " ".join(other for other in names_of(name, whole, number) if other != title),
        "scope": model.scope,
        "encoding": status.encoding if status else model.encoding,
        "runtime": status.runtime if status else model.runtime or "default",
        "state": status.state if status else "not running",
        "description": model.description,
        "path": where,
    }
