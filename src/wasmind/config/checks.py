"""What is wrong with settings that have the right types."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from wasmind.config import versions
from wasmind.config.card import Card
from wasmind.config.convert import wrong_steps
from wasmind.config.device import device_problems
from wasmind.config.storage import SCHEMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wasmind.config.file import Config
    from wasmind.config.function import Function
    from wasmind.config.model import KServe, Model

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?\Z", re.ASCII)
"""What a function or a tenant may be called."""

MODEL_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?\Z", re.ASCII)
"""What a model may be called: also capital letters, since a preload directory's name is the model's."""

BACKEND = re.compile(
    r"(?:(?P<scheme>https?)://)?(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?/?\Z",
    re.ASCII,
)
"""A function's backend; without a scheme it is https."""
_SOURCE = re.compile(rf"(?:{'|'.join(SCHEMES)})://[^\s/?#]+(?:[/:@][^\s#]*)?\Z", re.ASCII)
_DIGEST = re.compile(r"(?:sha256:)?[0-9a-f]{64}\Z", re.ASCII)
_SERVER = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?\Z", re.ASCII)


def problems(config: Config) -> Iterator[str]:
    """Say each wrong setting, with its place in the file."""
    yield from device_problems(config.devices)
    yield from _bad_names("models", config.models, MODEL_NAME, "A-Z a-z 0-9 . _ -")
    yield from _bad_names("functions", config.functions, NAME, "a-z 0-9 . _ -")
    for name, model in config.models.items():
        yield from _bad_model(name, model)
        yield from (
            f"models.{name}.stand_in: {problem}" for problem in _bad_stand_in(name, model, config.models)
        )
    yield from _bad_routes(config.functions)
    if config.inference.workers < 1:
        yield "inference: `workers` is at least 1"
    yield from _bad_names("tenants", config.tenants, NAME, "a-z 0-9 . _ -")
    for name, tenant in config.tenants.items():
        if tenant.concurrency < 1:
            yield f"tenants.{name}: `concurrency` is at least 1"
    for name, function in config.functions.items():
        granted = [versions.Reference.parse(reference).model for reference in function.models]
        for reference in function.models:
            why = versions.bad_reference(config.models, reference)
            if why is not None:
                yield f"functions.{name}: {why}"
        for twice in sorted({model for model in granted if granted.count(model) > 1}):
            yield f"functions.{name}: the model {twice!r} is granted more than once"
        for backend in function.backends:
            if not BACKEND.match(backend):
                yield f"functions.{name}: a backend is HOST[:PORT] or http://HOST[:PORT]; got {backend!r}"


def _bad_model(name: str, model: Model) -> Iterator[str]:
    yield from versions.problems(name, model)
    if model.instances < 1 or model.threads < 1 or model.batch.max_size < 1:
        yield f"models.{name}: instances, threads and batch.max_size are at least 1"
    if min(model.generation.context, model.generation.at_once, model.generation.max_tokens) < 1:
        yield f"models.{name}.generation: context, at_once and max_tokens are at least 1"
    for number, one in versions.settings_of(model).items():
        at = f"models.{name}" if number is None else f"models.{name}.versions.{number}"
        if one.path is None and one.source is None and one.kserve is None:
            yield f"{at}: give `path` or `source` (served here), `kserve` (elsewhere), or both"
        yield from (f"{at}: {problem}" for problem in _bad_source(one))
        if one.kserve is not None:
            yield from (f"{at}.kserve: {problem}" for problem in _bad_server(one.kserve))
            if one.path is None and one.source is None and (one.pin or one.load):
                yield f"{at}: `pin` and `load` are for models that are served here"
        yield from (f"{at}.{problem}" for problem in wrong_steps(one.inputs, one.outputs))
        if isinstance(one.card, Card) and len(one.card.example.given) > 1:
            given = " and ".join(one.card.example.given)
            yield f"{at}: card.example is one of image, text and npz; got {given}"


def _bad_source(model: Model) -> Iterator[str]:
    if model.source is not None and not _SOURCE.match(model.source):
        yield f"a source is a URI that begins with one of {', '.join(SCHEMES)}; got {model.source!r}"
    if model.source is not None and model.path is not None:
        yield "`path` and `source` are two places for one model; give one"
    if model.digest is not None:
        if model.source is None:
            yield "`digest` goes with `source`"
        if not _DIGEST.match(model.digest):
            yield f'a digest is "sha256:" and 64 hexadecimal digits; got {model.digest!r}'


def _bad_server(server: KServe) -> Iterator[str]:
    if not server.urls:
        yield "give at least one `url`"
    for url in server.urls:
        if not _SERVER.match(url):
            yield f"a url is http://HOST[:PORT] or https://HOST[:PORT], with a path if need be; got {url!r}"
    if server.hedge_ms is not None and server.hedge_ms < 0:
        yield "`hedge_ms` is at least 0"
    if server.protocol == "grpc" and server.http2 is False:
        yield "`http2 = false` is for REST: gRPC is HTTP/2"
    if server.concurrency < 1:
        yield "`concurrency` is at least 1"
    if (server.cert is None) != (server.key is None):
        yield "`cert` and `key` go together"


def _bad_stand_in(name: str, model: Model, models: dict[str, Model]) -> Iterator[str]:
    if model.stand_in is None:
        return
    other = model.stand_in.model
    if model.stand_in.after_ms is not None and model.stand_in.after_ms < 0:
        yield "`after_ms` is at least 0"
    if model.in_both_places:
        if other is not None:
            yield "a model with both `path` and `kserve` is its own stand-in: leave `model` out"
    elif other is None or other == name:
        yield "name another model as `model`"
    elif other not in models:
        yield f"there is no model {other!r} (known: {', '.join(sorted(models))})"
    elif models[other].stand_in is not None or models[other].in_both_places:
        yield f"{other!r} has a stand-in itself, or is in two places: name a model that is in one place"
    elif models[other].scope not in ("shared", model.scope):
        yield f"{other!r} belongs to {models[other].scope!r}"


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
