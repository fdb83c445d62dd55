"""`wasmind.toml` as typed settings.

One file describes a whole node: functions, models, limits, routes. Reading it checks types, names and
references, and an error says where in the file it is and what would be right. Relative paths are relative to
the file.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import msgspec

from wasmind.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?\Z", re.ASCII)
"""What a function or a tenant may be called."""

MODEL_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?\Z", re.ASCII)
"""What a model may be called: also capital letters, since a preload directory's name is the model's."""

BACKEND = re.compile(
    r"(?:(?P<scheme>https?)://)?(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?/?\Z",
    re.ASCII,
)
"""A function's backend; without a scheme it is https."""
_SERVER = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?\Z", re.ASCII)
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


class Limits(Section, frozen=True):
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


class Batch(Section, frozen=True):
    """Dynamic batching: the largest batch, and how long to wait for it."""

    max_size: int = 1
    max_delay_ms: float = 0.0


class KServe(Section, frozen=True):
    """Where a remote model is served, by the Open Inference Protocol v2."""

    url: str | list[str]
    model: str
    version: str | None = None
    protocol: Literal["rest", "grpc"] = "rest"
    concurrency: int = 256
    token_file: Path | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    @property
    def urls(self) -> tuple[str, ...]:
        """The servers, each of which has the model."""
        return (self.url,) if isinstance(self.url, str) else tuple(self.url)


class Model(Section, frozen=True):
    """A named model: `load_by_name(name)`.

    `path` is a file, or the directory of one model. `weights` is for an OpenVINO model whose weights do not
    stand beside it under its own name.
    """

    path: Path | None = None
    weights: Path | None = None
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
    confinement: Literal["required", "best-effort"] = "required"


class Function(Section, frozen=True):
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
    backends: list[str] = []
    """Whom it may send requests to: `api.example.com`, `api.example.com:8443`, `http://10.0.0.7:9000`."""
    tenant: str = "default"

    @property
    def routes(self) -> tuple[str, ...]:
        """The paths it serves; one that ends in `/*` serves everything below."""
        return (self.route,) if isinstance(self.route, str) else tuple(self.route)


class Ports(Section, frozen=True):
    """Where the node listens."""

    functions: int = 8080
    oip_rest: int = 8081
    oip_grpc: int = 8082
    api: int = 8090


class Node(Section, frozen=True):
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


class Config(Section, frozen=True):
    """A whole node."""

    node: Node = Node()
    models: dict[str, Model] = {}
    functions: dict[str, Function] = {}
    preload: list[str] = []
    """More models, told as to other hosts (see `preloaded`). Reading the file moves them into `models`."""

    @property
    def stack(self) -> int:
        """Bytes of stack for every guest: the most that a function asks for, as all guests share it."""
        asked = (function.limits.stack for function in self.functions.values())
        return int(max(asked, default=Limits().stack))


def _decode_hook(kind: type, value: Any) -> Any:
    if kind is Size:
        return Size.parse(value)
    if issubclass(kind, Path) and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(f"no reader for {kind.__name__}")  # a new field type without its reader


def preloaded(text: str, base: Path) -> tuple[str, Model]:
    """A model's name and settings from a preload entry, in one of the shapes that other hosts use.

    - `DIR` or `ENCODING::DIR`, as in `wasmtime -S nn-graph`: the name is the directory's own
    - `NAME:ENCODING:TARGET:PATH[:WEIGHTS]`, as in `wasmedge --nn-preload`

    `base` gives "." and ".." a name. Raises ValueError, which says what is wrong.
    """
    match text.split(":"):
        case [path] if path:
            return _directory_name(base / path), Model(path=Path(path))
        case [encoding, "", path] if path:
            return _directory_name(base / path), Model(path=Path(path), encoding=_word(encoding, Encoding))
        case [name, encoding, target, path, *weights] if path and len(weights) < 2:
            return name, Model(
                path=Path(path),
                weights=Path(*weights) if weights else None,
                encoding=_word(encoding, Encoding),
                target="cpu" if target.lower() == "auto" else _word(target, Target),
            )
    raise ValueError("expected DIR, ENCODING::DIR or NAME:ENCODING:TARGET:PATH")


def _directory_name(path: Path) -> str:
    return Path(os.path.normpath(path)).name


def _word(word: str, kind: Any) -> Any:
    known = get_args(kind)
    if word.lower() not in known:
        raise ValueError(f"{word!r} is none of {', '.join(known)}")
    return word.lower()


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
        config = msgspec.convert(raw, Config, dec_hook=_decode_hook, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source} has a wrong setting", cause=str(error)) from error
    config, unread = _with_preloaded(config, base)
    problems = [*unread, *_problems(config)]
    if problems:
        raise ConfigError(f"{source} has {len(problems)} wrong setting(s)", cause="; ".join(problems))
    return _resolved(config, base)


def _with_preloaded(config: Config, base: Path) -> tuple[Config, list[str]]:
    models, problems = dict(config.models), []
    for text in config.preload:
        try:
            name, model = preloaded(text, base)
        except ValueError as error:
            problems.append(f"preload {text!r}: {error}")
            continue
        if models.setdefault(name, model) is not model:
            problems.append(f"preload {text!r}: there is another model of the name {name!r}")
    return msgspec.structs.replace(config, models=models), problems


def _problems(config: Config) -> Iterator[str]:
    yield from _bad_names("models", config.models, MODEL_NAME, "A-Z a-z 0-9 . _ -")
    yield from _bad_names("functions", config.functions, NAME, "a-z 0-9 . _ -")
    for name, model in config.models.items():
        if (model.path is None) == (model.kserve is None):
            yield f"models.{name}: give either `path` (served here) or `kserve` (served elsewhere)"
        if model.instances < 1 or model.threads < 1 or model.batch.max_size < 1:
            yield f"models.{name}: instances, threads and batch.max_size are at least 1"
        if model.kserve is not None:
            yield from (f"models.{name}.kserve: {problem}" for problem in _bad_server(model.kserve))
    yield from _bad_routes(config.functions)
    for name, function in config.functions.items():
        for model_name in function.models:
            if model_name not in config.models:
                known = ", ".join(sorted(config.models)) or "none"
                yield f"functions.{name}: there is no model {model_name!r} (known: {known})"
        for backend in function.backends:
            if not BACKEND.match(backend):
                yield f"functions.{name}: a backend is HOST[:PORT] or http://HOST[:PORT]; got {backend!r}"


def _bad_server(server: KServe) -> Iterator[str]:
    if not server.urls:
        yield "give at least one `url`"
    for url in server.urls:
        if not _SERVER.match(url):
            yield f"a url is http://HOST[:PORT] or https://HOST[:PORT], with a path if need be; got {url!r}"
    if server.concurrency < 1:
        yield "`concurrency` is at least 1"
    if (server.cert is None) != (server.key is None):
        yield "`cert` and `key` go together"


def _bad_names(kind: str, names: Iterable[str], pattern: re.Pattern[str], letters: str) -> Iterator[str]:
    for name in names:
        if not pattern.match(name):
            yield f"{kind}.{name}: a name is 1 to 128 of {letters}, the first and last a letter or digit"


def _bad_routes(functions: dict[str, Function]) -> Iterator[str]:
    taken: dict[tuple[str | None, str], str] = {}
    for name, function in functions.items():
        for route in function.routes:
            if not route.startswith("/") or "*" in route.removesuffix("/*"):
                yield (
                    f'functions.{name}: a route begins with "/", and "*" may only be its last segment; '
                    f"got {route!r}"
                )
            other = taken.setdefault((function.host, route), name)
            if other != name:
                yield f"functions.{name}: the route {route!r} already belongs to functions.{other}"


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
            path=within(one.path),
            weights=within(one.weights),
            labels=within(one.labels),
            kserve=server(one.kserve),
        )

    return replaced(
        config,
        node=replaced(config.node, state=within(config.node.state)),
        models={n: model(m) for n, m in config.models.items()},
        functions={n: replaced(f, module=within(f.module)) for n, f in config.functions.items()},
        preload=[],
    )
