"""`wasmind.toml` as typed settings.

One file describes a whole node: functions, models, limits, routes. Reading it checks types, names and references, and an
error says where in the file it is and what would be right. Relative paths are relative to the file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from wasmind.errors import ConfigError

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?\Z", re.ASCII)
"""What a model, a function or a tenant may be called."""

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?\Z", re.IGNORECASE)
_BYTES = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}

Encoding = Literal["autodetect", "openvino", "onnx", "tensorflow", "pytorch", "tensorflowlite", "ggml"]
Runtime = Literal["onnx", "openvino", "tflite", "pytorch", "tensorflow", "ggml"]
Target = Literal["cpu", "gpu", "tpu"]
Settings = TypeVar("Settings", bound="Section")


class Size(int):
    """A number of bytes, written as an integer or as text such as "128MiB" or "64 KB"."""

    @classmethod
    def parse(cls, value: object) -> Size:
        """Read a size. Raises ValueError."""
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return cls(value)
        found = _SIZE.match(value.strip()) if isinstance(value, str) else None
        if not found:
            raise ValueError(f'expected a size such as 1048576 or "128MiB", got {value!r}')
        base = 1024 if found[3] else 1000
        return cls(float(found[1]) * base ** _BYTES[found[2].lower()])


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; unknown keys are refused, so a typing error is found."""


class Limits(Section):
    """What one run of a function may use. The defaults are Fastly Compute's."""

    cpu_ms: float = 50.0
    wall_ms: float = 120_000.0
    memory: Size = Size(128 << 20)
    stack: Size = Size(1 << 20)
    package: Size = Size(100_000_000)
    table_elements: int = 100_000
    backend_requests: int = 32
    request_body: Size = Size(100 << 20)
    body_stall_ms: float = 30_000.0
    concurrency: int = 10_000
    nn_contexts: int = 64
    nn_memory: Size = Size(256 << 20)
    load_size: Size = Size(64 << 20)


class Batch(Section):
    """Dynamic batching: the largest batch, and how long to wait for it."""

    max_size: int = 1
    max_delay_ms: float = 0.0


class KServe(Section):
    """Where a remote model is served, by the Open Inference Protocol v2."""

    url: str | list[str]
    model: str
    version: str | None = None
    protocol: Literal["rest", "grpc"] = "rest"


class Model(Section):
    """A named model: `load_by_name(name)`."""

    path: Path | None = None
    kserve: KServe | None = None
    encoding: Encoding = "autodetect"
    runtime: Runtime | None = None
    target: Target = "cpu"
    instances: int = 1
    threads: int = 1
    batch: Batch = Batch()
    labels: Path | None = None
    description: str = ""
    scope: str = "shared"
    deadline_ms: float = 30_000.0
    load_timeout_ms: float = 120_000.0
    memory: Size = Size(4 << 30)
    queue: int = 20_000
    shared_memory: Size = Size(64 << 20)
    when_down: Literal["wait", "fail"] = "wait"
    warm_up: bool = True


class Function(Section):
    """A function: a program, where it is routed, and what it may use."""

    module: Path
    route: str | list[str]
    host: str | None = None
    methods: list[str] | None = None
    models: list[str] = []
    env: dict[str, str] = {}
    args: list[str] = []
    limits: Limits = Limits()
    allow_load: bool = False
    tenant: str = "default"

    @property
    def routes(self) -> tuple[str, ...]:
        """The paths it serves; one that ends in `/*` serves everything below."""
        return (self.route,) if isinstance(self.route, str) else tuple(self.route)


class Ports(Section):
    """Where the node listens."""

    functions: int = 8080
    oip_rest: int = 8081
    oip_grpc: int = 8082
    api: int = 8090


class Node(Section):
    """The node itself."""

    workers: int | None = None
    host: str = "127.0.0.1"
    ports: Ports = Ports()
    dev: bool = False
    state: Path = Path(".wasmind")
    concurrency: int = 20_000
    drain_ms: float = 30_000.0
    header_timeout_ms: float = 30_000.0
    tick_ms: float = 1.0
    log: Literal["console", "json"] = "console"
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class Config(Section):
    """A whole node."""

    node: Node = Node()
    models: dict[str, Model] = {}
    functions: dict[str, Function] = {}
    preload: list[Path] = []
    """Directories in the shapes of wasmtime's `nn-graph` (DIR/model.onnx, DIR/model.xml + DIR/model.bin, …)."""


def _decode_hook(kind: type, value: Any) -> Any:
    if kind is Size:
        return Size.parse(value)
    if issubclass(kind, Path) and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(f"no reader for {kind.__name__}")  # a new field type without its reader


def load(path: Path) -> Config:
    """Read `path`. Raises ConfigError, which names the place in the file."""
    try:
        raw = msgspec.toml.decode(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}", cause=error.strerror, remedy="name the file with -c FILE, or write one with `wasmind init`"
        ) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise ConfigError(f"{path} is not TOML", cause=str(error)) from error
    return parse(raw, path.parent.resolve(), str(path))


def parse(raw: Any, base: Path, source: str = "the configuration") -> Config:
    """Type and check decoded settings; relative paths are taken from `base`. Raises ConfigError."""
    try:
        config = msgspec.convert(raw, Config, dec_hook=_decode_hook, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source} has a wrong setting", cause=str(error)) from error
    problems = list(_problems(config))
    if problems:
        raise ConfigError(f"{source} has {len(problems)} wrong setting(s)", cause="; ".join(problems))
    return _resolved(config, base)


def _problems(config: Config) -> Any:
    for kind, names in (("models", config.models), ("functions", config.functions)):
        for name in names:
            if not NAME.match(name):
                yield f"{kind}.{name}: a name is 1 to 128 of a-z 0-9 . _ -, and begins and ends with a letter or digit"
    for name, model in config.models.items():
        if (model.path is None) == (model.kserve is None):
            yield f"models.{name}: give either `path` (served here) or `kserve` (served elsewhere)"
        if model.instances < 1 or model.threads < 1 or model.batch.max_size < 1:
            yield f"models.{name}: instances, threads and batch.max_size are at least 1"
    taken: dict[tuple[str | None, str], str] = {}
    for name, function in config.functions.items():
        for route in function.routes:
            if not route.startswith("/") or "*" in route.removesuffix("/*"):
                yield f'functions.{name}: a route begins with "/", and "*" may only be its last segment; got {route!r}'
            other = taken.setdefault((function.host, route), name)
            if other != name:
                yield f"functions.{name}: the route {route!r} already belongs to functions.{other}"
        if config.preload or not function.models:
            continue
        for model_name in function.models:
            if model_name not in config.models:
                known = ", ".join(sorted(config.models)) or "none"
                yield f"functions.{name}: there is no model {model_name!r} (known: {known})"


def _resolved(config: Config, base: Path) -> Config:
    def within(path: Path | None) -> Path | None:
        return None if path is None else base / path.expanduser()

    def replaced(section: Settings, **changes: Any) -> Settings:
        return msgspec.structs.replace(section, **changes)

    return replaced(
        config,
        node=replaced(config.node, state=within(config.node.state)),
        models={n: replaced(m, path=within(m.path), labels=within(m.labels)) for n, m in config.models.items()},
        functions={n: replaced(f, module=within(f.module)) for n, f in config.functions.items()},
        preload=[base / path.expanduser() for path in config.preload],
    )
