"""All that a node serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from wasmind.catalog.digests import Digests
from wasmind.catalog.function import FunctionRecord, read_function
from wasmind.catalog.model import ModelRecord, read_versions
from wasmind.errors import ConfigError, WasmindError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wasmind.config import Config

Settings = TypeVar("Settings")
Record = TypeVar("Record")


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """The models and functions of a node, each by its name; a model's versions by `name@N`."""

    models: dict[str, ModelRecord]
    functions: dict[str, FunctionRecord]


def read_catalog(config: Config, digests: Digests | None = None) -> Catalog:
    """Look at every file that the configuration names. Blocks while files are hashed.

    All that is wrong is told at once: a single error as it is, several as one ConfigError. Raises
    ConfigError, ModelLoadFailed, InvalidEncoding.
    """
    digests = digests or Digests()
    errors: list[WasmindError] = []
    read = _each(config.models, lambda name, model: read_versions(name, model, digests), errors)
    models = {record.title: record for records in read.values() for record in records}
    if not errors:  # a function would only say again that its model is missing
        functions = _each(
            config.functions,
            lambda name, function: read_function(name, function, models, digests),
            errors,
        )
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ConfigError(
            f"{len(errors)} models or functions cannot be used",
            cause=" ".join(error.explain() for error in errors),
        )
    return Catalog(models=models, functions=functions)


def _each(
    settings: Mapping[str, Settings],
    read: Callable[[str, Settings], Record],
    errors: list[WasmindError],
) -> dict[str, Record]:
    records = {}
    for name, setting in settings.items():
        try:
            records[name] = read(name, setting)
        except WasmindError as error:
            errors.append(error)
    return records
