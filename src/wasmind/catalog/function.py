"""A function as the node serves it: its program found and hashed, its models granted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from wasmind.catalog.files import resolved
from wasmind.config import Function, Limits
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
    grants: dict[str, str]
    """The names it may give to `load_by_name`, each with the `ModelRecord.id` it means; no other name
    exists for it."""
    allow_load: bool
    """Whether it may bring a model's bytes."""
    backends: tuple[str, ...] = ()
    """Whom it may send requests to."""


def read_function(
    name: str, function: Function, models: Mapping[str, ModelRecord], digests: Digests
) -> FunctionRecord:
    """Find a function's program and grant it the models it lists. `models` are by name. Raises
    ConfigError."""
    module, digest = _program(name, function.module, digests)
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
        grants={model: _grant(name, function.tenant, model, models).id for model in function.models},
        allow_load=function.allow_load,
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


def _grant(name: str, tenant: str, model: str, models: Mapping[str, ModelRecord]) -> ModelRecord:
    found = models.get(model)
    if found is None or not found.usable_by(tenant):
        own = ", ".join(sorted(other.name for other in models.values() if other.usable_by(tenant))) or "none"
        raise ConfigError(
            f"functions.{name}: there is no model {model!r} for the tenant {tenant!r}",
            cause=f"it may be granted: {own}",
            remedy=f"add [models.{model}], with `scope` left out or set to {tenant!r}",
        )
    return found
