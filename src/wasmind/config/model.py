"""`[models.NAME]`: a named model, served here or elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from wasmind.config.card import Card
from wasmind.config.convert import Converted
from wasmind.config.section import Section, Size
from wasmind.config.signature import DeclaredSignature

Encoding = Literal["autodetect", "openvino", "onnx", "tensorflow", "pytorch", "tensorflowlite", "ggml"]
Runtime = Literal["onnx", "openvino", "tflite", "pytorch", "tensorflow", "ggml"]
Target = Literal["cpu", "gpu", "tpu"]
Prefer = Literal["local", "remote", "fastest"]


class Batch(Section, frozen=True):
    """Dynamic batching: the largest batch, and how long to wait for it."""

    max_size: int = 1
    max_delay_ms: float = 0.0


class StandIn(Section, frozen=True):
    """Which model does another's inferences when that is down, or has not answered after so long."""

    model: str | None = None
    after_ms: float | None = None


class Generation(Section, frozen=True):
    """What a language model's guests may have of it."""

    context: int = 2048
    """Tokens of a prompt and its answer together; the memory of that many is kept ready."""
    at_once: int = 2
    max_tokens: int = 1024


class KServe(Section, frozen=True):
    """Where a remote model is served, by the Open Inference Protocol v2."""

    url: str | list[str]
    model: str
    version: str | None = None
    protocol: Literal["rest", "grpc"] = "rest"
    concurrency: int = 256
    binary: bool | None = None
    http2: bool | None = None
    """REST over HTTP/2, always or never; None: where the server picks it when TLS begins."""
    hedge_ms: float | None = None
    token_file: Path | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    @property
    def urls(self) -> tuple[str, ...]:
        """The servers, each of which has the model."""
        return (self.url,) if isinstance(self.url, str) else tuple(self.url)


class Version(Section, frozen=True):
    """One version of a model: what differs from the model's own settings."""

    path: Path | None = None
    source: str | None = None
    digest: str | None = None
    weights: Path | None = None
    kserve: KServe | None = None
    encoding: Encoding | None = None
    runtime: Runtime | None = None
    labels: Path | None = None
    inputs: dict[str, Converted] | None = None
    outputs: dict[str, Converted] | None = None
    card: Card | str | None = None
    description: str | None = None


class Model(Section, frozen=True):
    """A named model: `load_by_name(name)`.

    `path` is a file, or the directory of one model. With `kserve` beside it the model is in both places, and
    `prefer` says which of them an inference goes to first. `weights` is for an OpenVINO model whose weights
    do not stand beside it under its own name.
    """

    path: Path | None = None
    source: str | None = None
    """Where it is kept, in place of `path`: oci://…, s3://… or another object store, https://…"""
    digest: str | None = None
    """SHA-256 of what `source` must be; required where a single file is read from a store or a server."""
    weights: Path | None = None
    kserve: KServe | None = None
    prefer: Prefer = "fastest"
    stand_in: StandIn | None = None
    versions: dict[int, Version] = {}
    aliases: dict[str, int] = {}
    default: int | str | None = None
    """What the plain name means: a version or an alias; None: the highest version."""
    encoding: Encoding = "autodetect"
    runtime: Runtime | None = None
    signature: DeclaredSignature | None = None
    """What it takes and gives, for TorchScript, which does not say."""
    target: Target = "cpu"
    fallback: Literal["cpu"] | None = None
    """Where to run when there is no such target; None: the model is refused."""
    instances: int = 1
    threads: int = 1
    batch: Batch = Batch()
    generation: Generation = Generation()
    labels: Path | None = None
    inputs: dict[str, Converted] = {}
    outputs: dict[str, Converted] = {}
    card: Card | str | None = None
    """What people should know of it, or the file that says so."""
    description: str = ""
    scope: str = "shared"
    deadline_ms: float = 30_000.0
    load_timeout_ms: float = 120_000.0
    memory: Size = Size(4 << 30)
    queue: int = 20_000
    shared_memory: Size = Size(64 << 20)
    when_down: Literal["wait", "fail"] = "wait"
    load: Literal["start", "first-use"] | None = None
    pin: bool = False
    cache: Size = Size(0)
    warm_up: bool = True
    confinement: Literal["required", "best-effort"] = "required"

    @property
    def in_both_places(self) -> bool:
        """Whether it is served here and elsewhere."""
        return (self.path or self.source) is not None and self.kserve is not None
