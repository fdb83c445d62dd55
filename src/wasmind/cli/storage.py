"""`wasmind models push` and `wasmind models pull`: models to and from where they are kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wasmind.cli.options import DEFAULT, AsJson, ConfigFile, read_if_there
from wasmind.cli.output import document, reported, say

if TYPE_CHECKING:
    from wasmind.config import Config

MODEL = "A model's name in the configuration, or the path of its file or directory."
SOURCE = "A model's name in the configuration, or oci://…, s3://…, gs://…, az://…, https://…"


@reported
def push(
    model: Annotated[str, typer.Argument(help=MODEL, show_default=False)],
    uri: Annotated[str, typer.Argument(help="oci://HOST/REPOSITORY:TAG or s3://BUCKET/PREFIX, say.")],
    config: ConfigFile = DEFAULT,
    json: AsJson = False,
) -> None:
    """Send a model's files to a registry or an object store; print what to write into a configuration."""
    from wasmind.catalog.storage.fetch import push as send

    settings = read_if_there(config)
    exact, manifest = send(_path(settings, model), uri, settings.storage)
    found = {"source": exact, "digest": f"sha256:{manifest.digest}", "size": manifest.size}
    if json:
        document(found | {"files": [file.name for file in manifest.files]})
        return
    for file in manifest.files:
        say(f"  {file.name}  {file.size} bytes")
    say(f'source = "{found["source"]}"\ndigest = "{found["digest"]}"')


@reported
def pull(
    source: Annotated[str, typer.Argument(help=SOURCE, show_default=False)],
    digest: Annotated[
        str | None,
        typer.Option(metavar="SHA256", help="What it must be; without it, what is there is taken."),
    ] = None,
    config: ConfigFile = DEFAULT,
    json: AsJson = False,
) -> None:
    """Fetch a model into the node's store, where a start or a reload finds it; print its digest and path."""
    from wasmind.catalog.storage.fetch import digest_of, fetch
    from wasmind.catalog.storage.store import STORE, Store
    from wasmind.cli.progress import shown_transfers

    settings = read_if_there(config)
    if source in settings.models:
        model = settings.models[source]
        digest = digest or model.digest
        source = model.source or _not_kept(source)
    with shown_transfers() as transfers:
        store = Store(settings.node.state / STORE)
        digest = digest or digest_of(source, settings.storage, store, transfers)
        path = fetch(source, digest, settings.storage, store, transfers)
    if json:
        document({"source": source, "digest": digest, "path": str(path)})
    else:
        say(f'{path}\nsource = "{source}"\ndigest = "{digest}"')


def _path(config: Config, model: str) -> Path:
    from wasmind.errors import ModelNotFound

    if model in config.models:
        return config.models[model].path or Path(_not_kept(model))
    if not Path(model).exists():
        raise ModelNotFound(f"{model!r} is neither a model of the configuration nor a file")
    return Path(model)


def _not_kept(name: str) -> str:
    from wasmind.errors import ConfigError

    raise ConfigError(
        f"models.{name} is not kept where this command could look",
        remedy="push needs a `path`, pull needs a `source`",
    )
