"""The whole file: read, typed, checked, its paths resolved."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from wasmind.config.beside import card_beside, converted_beside, devices_beside
from wasmind.config.checks import problems
from wasmind.config.device import Devices
from wasmind.config.function import Function, Limits
from wasmind.config.model import KServe, Model, Version
from wasmind.config.node import Node
from wasmind.config.preload import preloaded
from wasmind.config.section import Section, Size
from wasmind.config.storage import Storage
from wasmind.config.tenant import Inference, Tenant
from wasmind.errors import ConfigError

Settings = TypeVar("Settings", bound=Section)


class Config(Section, frozen=True):
    """A whole node."""

    node: Node = Node()
    devices: Devices = Devices()
    """What the processes of models for a GPU or a TPU are given."""
    models: dict[str, Model] = {}
    functions: dict[str, Function] = {}
    storage: dict[str, Storage] = {}
    """How the places of models are reached, by how their URIs begin."""
    tenants: dict[str, Tenant] = {}
    inference: Inference = Inference()
    preload: list[str] = []
    """More models, told as to other hosts (see `preloaded`). Reading the file moves them into `models`."""

    @property
    def stack(self) -> int:
        """Bytes of stack for every guest: the most that a function asks for, as all guests share it."""
        asked = (function.limits.stack for function in self.functions.values())
        return int(max(asked, default=Limits().stack))


def load(path: Path) -> Config:
    """Read `path`. Raises ConfigError, which names the place in the file."""
    try:
        raw = msgspec.toml.decode(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}",
            cause=error.strerror,
            remedy="name the file with -c FILE, or write one: examples/double has a short one",
        ) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise ConfigError(f"{path} is not TOML", cause=str(error)) from error
    return parse(raw, path.parent.resolve(), str(path))


def parse(raw: Any, base: Path, source: str = "the configuration") -> Config:
    """Type and check decoded settings; relative paths are taken from `base`. Raises ConfigError."""
    try:
        config = msgspec.convert(raw, Config, dec_hook=_decode_hook, strict=False, str_keys=True)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source} has a wrong setting", cause=str(error)) from error
    config, unread = _with_preloaded(config, base)
    wrong = [*unread, *problems(config)]
    if wrong:
        raise ConfigError(f"{source} has {len(wrong)} wrong setting(s)", cause="; ".join(wrong))
    return _resolved(config, base)


def _with_preloaded(config: Config, base: Path) -> tuple[Config, list[str]]:
    models, wrong = dict(config.models), []
    for text in config.preload:
        try:
            name, model = preloaded(text, base)
        except ValueError as error:
            wrong.append(f"preload {text!r}: {error}")
            continue
        if models.setdefault(name, model) is not model:
            wrong.append(f"preload {text!r}: there is another model of the name {name!r}")
    return msgspec.structs.replace(config, models=models), wrong


def _resolved(config: Config, base: Path) -> Config:
    def within(path: Path | None) -> Path | None:
        return None if path is None else base / path.expanduser()

    def replaced(section: Settings, **changes: Any) -> Settings:
        return msgspec.structs.replace(section, **changes)

    def server(at: KServe | None) -> KServe | None:
        if at is None:
            return None
        files = ("token_file", "ca", "cert", "key")
        return replaced(at, **{name: within(getattr(at, name)) for name in files})

    def model(one: Model) -> Model:
        return replaced(
            one,
            inputs=converted_beside(one.inputs, base) or {},
            outputs=converted_beside(one.outputs, base) or {},
            card=card_beside(one.card, base),
            path=within(one.path),
            weights=within(one.weights),
            labels=within(one.labels),
            kserve=server(one.kserve),
            versions={number: version(own) for number, own in one.versions.items()},
        )

    def version(one: Version) -> Version:
        return replaced(
            one,
            inputs=converted_beside(one.inputs, base),
            outputs=converted_beside(one.outputs, base),
            card=card_beside(one.card, base),
            path=within(one.path),
            weights=within(one.weights),
            labels=within(one.labels),
            kserve=server(one.kserve),
        )

    return replaced(
        config,
        node=replaced(config.node, state=within(config.node.state)),
        devices=devices_beside(config.devices, base),
        models={n: model(m) for n, m in config.models.items()},
        functions={
            n: replaced(f, module=within(f.module), source=within(f.source))
            for n, f in config.functions.items()
        },
        storage={at: replaced(s, secrets=within(s.secrets)) for at, s in config.storage.items()},
        tenants={n: replaced(t, tokens_file=within(t.tokens_file)) for n, t in config.tenants.items()},
        preload=[],
    )


def _decode_hook(kind: type, value: Any) -> Any:
    if kind is Size:
        return Size.parse(value)
    if issubclass(kind, Path) and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(f"no reader for {kind.__name__}")  # a new field type without its reader
