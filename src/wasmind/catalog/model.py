"""A named model as the node serves it: its files found, its encoding known, its version computed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from wasmind.catalog import conversions, declared, formats, labels
from wasmind.catalog.card import read_card
from wasmind.catalog.files import ModelFile, files_of
from wasmind.catalog.runtimes import runtime_for
from wasmind.config import Card, Encoding, KServe, Model, Runtime, versions
from wasmind.errors import WasmindError

if TYPE_CHECKING:
    from wasmind.catalog.digests import Digests

SHARED = "shared"
"""The scope of models that functions of every tenant may be granted; any other scope is the tenant that
owns it."""


class ModelRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A named model."""

    name: str
    scope: str
    """`shared`, or the tenant that owns it: no other tenant's function can be granted it."""
    digest: str
    """SHA-256 in hexadecimal over its files, or over where it is served."""
    files: tuple[ModelFile, ...] = ()
    """All that its worker may read, the model's own file first; of a model that is served elsewhere what
    its conversions read."""
    encoding: Encoding | None = None
    """Never `autodetect`; None for a model that is served elsewhere."""
    runtime: Runtime | None = None
    """None for a model that is served elsewhere."""
    labels: tuple[str, ...] = ()
    card: Card = Card()
    """What people wrote of it."""
    version: int | None = None
    """Its number; None for a model without versions."""
    names: tuple[str, ...] = ()
    """All that mean it by the operator's policy: `classifier`, `classifier@3`, `classifier:stable`."""
    config: Model

    @property
    def id(self) -> str:
        """Unique in a node, and never used again for another model."""
        return f"{self.scope}/{self.title}@{self.digest[:16]}"

    @property
    def title(self) -> str:
        """Its name, with the number where it has versions."""
        return self.name if self.version is None else f"{self.name}@{self.version}"

    @property
    def tokenizers(self) -> tuple[ModelFile, ...]:
        """What its conversions read."""
        return tuple(file for file in self.files if file.role == "tokenizer")

    def elsewhere(self) -> ModelRecord:
        """The other place of a model that is in both, as a model by itself.

        Its version covers the files here where it is converted: tokenizers are among them.
        """
        name, digest = f"{self.title}@remote", served_at(self.config.kserve)
        if self.config.inputs or self.config.outputs:
            digest = hashlib.sha256((digest + self.digest).encode()).hexdigest()
        return msgspec.structs.replace(
            self,
            name=name,
            names=(name,),
            version=None,
            digest=digest,
            files=self.tokenizers,
            encoding=None,
            runtime=None,
        )

    def usable_by(self, tenant: str) -> bool:
        """Whether functions of `tenant` may be granted it."""
        return self.scope in (SHARED, tenant)


def read_versions(name: str, model: Model, digests: Digests) -> tuple[ModelRecord, ...]:
    """All versions of a model, as `read_model` gives each; the one that the plain name means comes first."""
    records = (
        msgspec.structs.replace(
            read_model(name if number is None else f"{name}@{number}", settings, digests),
            name=name,
            version=number,
            names=versions.names_of(name, model, number),
        )
        for number, settings in versions.settings_of(model).items()
    )
    return tuple(sorted(records, key=lambda record: name not in record.names))


def read_model(name: str, model: Model, digests: Digests) -> ModelRecord:
    """Find a model's files and look at them; its bytes are read to be hashed, and not parsed.

    Raises ModelLoadFailed (a file is missing), InvalidEncoding, ConfigError (the labels).
    """
    try:
        return _read(name, model, digests)
    except WasmindError as error:
        raise type(error)(
            f"models.{name}: {error.message}", cause=error.cause, remedy=error.remedy
        ) from error


def _read(name: str, model: Model, digests: Digests) -> ModelRecord:
    named = labels.read(model.labels) if model.labels else ()
    card = read_card(model)
    conversions.require_packages(model)
    if model.path is None:
        read = conversions.with_tokenizers((), model)
        served = served_at(model.kserve)
        if read:
            served = hashlib.sha256((served + digests.of_model(read)).encode()).hexdigest()
        return ModelRecord(
            name=name,
            names=(name,),
            scope=model.scope,
            digest=conversions.version(served, model, named),
            files=read,
            labels=named,
            card=card,
            config=model,
        )
    files = conversions.with_tokenizers(files_of(model.path, model.encoding, model.weights), model)
    encoding = formats.encoding_of(Path(files[0].path), model.encoding)
    declared.check(model, encoding)
    return ModelRecord(
        name=name,
        names=(name,),
        scope=model.scope,
        digest=conversions.version(declared.version(digests.of_model(files), model), model, named),
        files=files,
        encoding=encoding,
        runtime=runtime_for(encoding, model.runtime),
        labels=named,
        card=card,
        config=model,
    )


def served_at(server: KServe | None) -> str:
    """SHA-256 in hexadecimal over where a model is served: the version of one that is elsewhere."""
    return hashlib.sha256(msgspec.json.encode(server, enc_hook=str)).hexdigest()
