"""A function as the node serves it: its program found and hashed, its models granted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from wasmind.catalog.files import resolved
from wasmind.config import Function, Limits
from wasmind.config.versions import Reference
from wasmind.errors import ConfigError, ModelLoadFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wasmind.catalog.digests import Digests
    from wasmind.catalog.model import ModelRecord


class FunctionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A function."""

    name: str
    tenant: str
    module: Path
    """The program's file, absolute and without symbolic links."""
    digest: str
    """SHA-256 of the program in hexadecimal: its version."""
    host: str | None
    """The one host it is routed at; None: every host."""
    routes: tuple[str, ...]
    methods: tuple[str, ...] | None
    """None: every method."""
    limits: Limits
    env: dict[str, str]
    args: tuple[str, ...]
    models: tuple[str, ...] = ()
    """What it was granted, as its configuration says."""
    grants: dict[str, str]
    """The names it may give to `load_by_name`, each with the `ModelRecord.id` it means; no other name
    exists for it."""
    allow_load: bool
    """Whether it may bring a model's bytes."""
    cache: bool = False
    """Whether it may get answers that are kept, of models that allow it."""
    backends: tuple[str, ...] = ()
    """Whom it may send requests to."""


def read_function(
    name: str, function: Function, models: Mapping[str, ModelRecord], digests: Digests
) -> FunctionRecord:
    """Find a function's program and grant it the models it lists. Raises ConfigError."""
    module, digest = _program(name, function.module, digests)
    grants: dict[str, str] = {}
    for reference in function.models:
        grants |= _grant(name, function.tenant, reference, models)
    return FunctionRecord(
        name=name,
        tenant=function.tenant,
        module=module,
        digest=digest,
        host=function.host,
        routes=function.routes,
        methods=None if function.methods is None else tuple(function.methods),
        limits=function.limits,
        env=function.env,
        args=tuple(function.args),
        models=tuple(function.models),
        grants=grants,
        allow_load=function.allow_load,
        cache=function.cache,
        backends=tuple(function.backends),
    )


def _program(name: str, module: Path, digests: Digests) -> tuple[Path, str]:
    try:
        real = resolved(module)
        if not real.is_file():
            raise ConfigError(
                f"functions.{name}: {module} is no file", remedy="give the path of a .wasm file"
            )
        return real, digests.of_file(real)
    except OSError as error:
        raise ConfigError(
            f"functions.{name}: the program {module} cannot be read",
            cause=error.strerror,
            remedy="build it, or mend `module`",
        ) from error
    except ModelLoadFailed as error:
        raise ConfigError(f"functions.{name}: {error.message}", remedy=error.remedy) from error


def _grant(name: str, tenant: str, reference: str, models: Mapping[str, ModelRecord]) -> dict[str, str]:
    """The names that a grant lets the function use, each with the id it means.

    A model granted by its plain name may be named with each of its versions and aliases. One that is granted
    as `name@3` or `name:stable` is pinned: the plain name means that version too, and there is no other.
    """
    wanted = Reference.parse(reference)
    usable = [record for record in models.values() if record.usable_by(tenant)]
    granted = [record for record in usable if record.name == wanted.model]
    meant = next((record for record in granted if reference in record.names), None)
    if meant is None:
        own = ", ".join(sorted({record.name for record in usable})) or "none"
        raise ConfigError(
            f"functions.{name}: there is no model {reference!r} for the tenant {tenant!r}",
            cause=f"it may be granted: {own}",
            remedy=f"add [models.{wanted.model}], with `scope` left out or set to {tenant!r}",
        )
    if wanted.pinned:
        return {wanted.model: meant.id, reference: meant.id}
    return {name: record.id for record in granted for name in record.names}
