"""What the supervisor and its edge workers say to each other; the inference process speaks as they do.

They speak over a Unix socketpair that the edge worker inherits: each frame is a 4-byte little-endian length
and one MessagePack-encoded struct, told apart by its `type` field. `node/channel.py` carries them. Both
sides are trusted, so a frame that cannot be read is a bug and raises NodeError.

The order of a life: the edge says `Hello`; the supervisor answers `Start` and the first `Snapshot`; the
edge answers `Applied` and, once it accepts connections, `Listening`. Later come `Snapshot` on a reload
(answered by `Applied`, then by `Released` once no request runs on an older generation), `ModelState`
whenever a model's state changes, `LoadModel` with its answer, `WantModel` for one that is not in memory, and
at the end `Drain`, answered by `Drained`. The inference process also asks `ManageModel`. When the other end
is closed, an edge drains and ends.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from wasmind.config import Encoding, KServe, Limits, Prefer, Size, Target
from wasmind.errors import NodeError
from wasmind.guest_api.kind import Kind
from wasmind.nn.signature import Signature
from wasmind.node.words import Failure, State

MAX_FRAME = 64 << 20
"""The largest frame, in bytes: a snapshot of 100,000 functions fits."""


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="type"):
    """A frame."""


# --- what a snapshot holds ----------------------------------------------------------------------------------


class FunctionEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A function as an edge worker needs it: compiled, routed, limited."""

    name: str
    tenant: str
    digest: str
    """SHA-256 of the program, in hexadecimal: its version."""
    artifact: str
    """Path of the compiled program, in the node's artifact cache: a module, or a component's record."""
    kind: Kind = "cgi"
    host: str | None = None
    routes: tuple[str, ...]
    methods: tuple[str, ...] | None = None
    """None: every method."""
    limits: Limits
    env: dict[str, str] = {}
    args: tuple[str, ...] = ()
    grants: dict[str, str] = {}
    """The names it may give to `load_by_name`, each with the `ModelEntry.id` it means."""
    allow_load: bool = False
    cache: bool = False
    """Whether it may get answers that are kept, of models that allow it."""
    backends: tuple[str, ...] = ()
    """Whom it may send requests to."""


class Alternative(msgspec.Struct, frozen=True, kw_only=True):
    """Another model that may do a model's inferences."""

    id: str
    """Its `ModelEntry.id`."""
    after_ms: float | None = None
    """It is asked too when there was no answer for so long; None: only when the model is down."""
    parallel: int = 1
    """How many inferences the model itself runs at once."""
    prefer: Prefer | None = None
    """It is the same model on a server elsewhere, and this says which of the two is asked first. None: it
    stands in."""


class Converting(msgspec.Struct, frozen=True, kw_only=True):
    """What this node converts of a model that is served elsewhere; each process is an entry of its own."""

    served: Signature | None = None
    """What its servers take and give."""
    inputs: ModelEntry | None = None
    outputs: ModelEntry | None = None


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A model that is served by a process of this node, or elsewhere."""

    id: str
    """Unique in this node and never used again for another model: scope, name and digest."""
    name: str
    scope: str
    """`shared`, or the tenant that owns it."""
    digest: str
    socket: str
    """The Unix socket to connect to. It accepts while the process restarts; such a connection then waits.
    Empty for a model that is served elsewhere."""
    kserve: KServe | None = None
    """Where it is served, if elsewhere."""
    converting: Converting | None = None
    """What is converted before and after it, if it is served elsewhere."""
    state: State
    reason: str | None = None
    """Why it is not `ready`, for people."""
    incarnation: int = 0
    """Counts the processes that served this model: a higher number means the older ones are dead."""
    signature: Signature | None = None
    labels: tuple[str, ...] = ()
    deadline_ms: float
    queue: int
    """How many inferences one edge worker may have waiting."""
    shared_memory: int
    """Bytes of the arena one edge worker shares with this model."""
    when_down: Literal["wait", "fail"] = "wait"
    alternative: Alternative | None = None
    retry_at: float | None = None
    """When the next restart is due, in Unix time."""
    cache: int = 0
    """Bytes of its answers that an edge worker may keep for each tenant."""
    on_use: bool = True
    """Whether an `unloaded` model is loaded when a function names it; else it waits for its operator."""


class NodeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What of `[node]` concerns an edge worker."""

    concurrency: int
    """Requests at once in one edge worker."""
    drain_ms: float
    header_timeout_ms: float
    tick_ms: float
    stack: int = 1 << 20
    """Bytes of stack of every guest: the most that a function asks for. It stays for a process's life."""
    log: Literal["console", "json"]
    log_level: Literal["debug", "info", "warning", "error"]


class NamedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model as a caller may name it."""

    name: str
    version: str = "1"
    references: tuple[str, ...]
    """All that mean it: the name alone, the name with this version, or with an alias."""
    id: str
    """Its `ModelEntry.id`."""


class CallerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant as the inference process knows it."""

    tenant: str
    tokens: tuple[str, ...] = ()
    """SHA-256 of each of its tokens, in hexadecimal."""
    models: tuple[NamedModel, ...] = ()
    manage: bool = False
    """Whether it may load and unload models."""
    concurrency: int = 256


class InferenceEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What the inference process serves beside the models."""

    callers: tuple[CallerEntry, ...] = ()
    anonymous: CallerEntry | None = None
    """Who comes without a token, on loopback in dev mode."""
    request_body: int
    body_stall_ms: float
    concurrency: int


# --- supervisor → edge --------------------------------------------------------------------------------------


class Start(Message, frozen=True, kw_only=True):
    """Sent once, first."""

    index: int
    """0 to workers - 1; a replacement takes the index of the one that died."""
    listen_fd: int
    """The inherited listening TCP socket."""
    host: str
    port: int
    grpc_fd: int | None = None
    """The inherited listening TCP socket for gRPC, of the inference process."""
    state_dir: str
    """Absolute path of the node's state: artifacts, uploads."""
    run_dir: str
    """Absolute path of this run's files; metrics are written to `metrics` in it."""

    @property
    def fds(self) -> tuple[int, ...]:
        """The sockets that the process inherits."""
        return (self.listen_fd,) if self.grpc_fd is None else (self.listen_fd, self.grpc_fd)


class Snapshot(Message, frozen=True, kw_only=True):
    """Everything an edge worker serves, whole; it replaces the one before it."""

    generation: int
    dev: bool
    node: NodeEntry
    functions: tuple[FunctionEntry, ...]
    models: tuple[ModelEntry, ...]
    inference: InferenceEntry | None = None
    """For the inference process alone."""


class ModelState(Message, frozen=True, kw_only=True):
    """One model changed: it is ready, died, is quarantined. Replaces the entry with its id."""

    model: ModelEntry


class LoadedModel(Message, frozen=True, kw_only=True):
    """The answer to `LoadModel`: either `model` (ready to be connected to) or `failure`."""

    request: int
    model: ModelEntry | None = None
    failure: Failure | None = None


class Managed(Message, frozen=True, kw_only=True):
    """The answer to `ManageModel`: it is done, or `failure` says why not."""

    request: int
    failure: Failure | None = None


class Drain(Message, frozen=True, kw_only=True):
    """Accept no more, finish what runs within `deadline_ms`, answer `Drained`, end."""

    deadline_ms: float


# --- edge → supervisor --------------------------------------------------------------------------------------


class Hello(Message, frozen=True, kw_only=True):
    """The edge's process runs."""

    pid: int


class Applied(Message, frozen=True, kw_only=True):
    """New requests see this generation; or `failure` says why it was not taken and the one before stays."""

    generation: int
    failure: Failure | None = None


class Listening(Message, frozen=True, kw_only=True):
    """The edge accepts connections."""

    notes: tuple[str, ...] = ()
    """What the engine could not have on this machine (no pooling allocator, say)."""


class Released(Message, frozen=True, kw_only=True):
    """No request runs on this generation or an older one any more."""

    generation: int


class LoadModel(Message, frozen=True, kw_only=True):
    """A function brought a graph's bytes: the same bytes are loaded once per tenant."""

    request: int
    """Chosen by the edge; the answer carries it back."""
    function: str
    tenant: str
    digest: str
    """SHA-256 of the file, in hexadecimal."""
    path: str
    """The file with the bytes, within the node's state directory."""
    encoding: Encoding
    target: Target


class WantModel(Message, frozen=True, kw_only=True):
    """A function uses a model that is `unloaded`: have it loaded."""

    id: str
    tenant: str
    """Whose function asks."""


class ManageModel(Message, frozen=True, kw_only=True):
    """A caller that may wants a model in memory, or out of it. Only the inference process sends this."""

    request: int
    """Chosen by the process; the answer carries it back."""
    model: str
    """The model's id."""
    load: bool


class Stats(Message, frozen=True, kw_only=True):
    """An edge's figures, each second while they change."""

    generation: int
    requests: int
    """Requests ended since the process began."""
    running: int
    """Requests under way."""
    guests: int
    """Sandboxes alive."""
    used: dict[str, float] = {}
    """The models used since the last time by their ids, each with when: seconds of CLOCK_MONOTONIC."""


class Drained(Message, frozen=True, kw_only=True):
    """Nothing runs any more; `cut` requests were ended by the deadline. The process ends next."""

    cut: int = 0


ToEdge: TypeAlias = Start | Snapshot | ModelState | LoadedModel | Managed | Drain
FromEdge: TypeAlias = (
    Hello | Applied | Listening | Released | LoadModel | ManageModel | WantModel | Stats | Drained
)


def encode(message: Message) -> bytes:
    """A message as one frame, its length before it."""
    body = _encoder.encode(message)
    return len(body).to_bytes(4, "little") + body


def decode_to_edge(body: bytes) -> ToEdge:
    """Read a frame's body in an edge worker. Raises NodeError."""
    try:
        return _to_edge.decode(body)
    except msgspec.MsgspecError as error:
        raise NodeError("the supervisor sent a message that cannot be read", cause=str(error)) from error


def decode_from_edge(body: bytes) -> FromEdge:
    """Read a frame's body in the supervisor. Raises NodeError."""
    try:
        return _from_edge.decode(body)
    except msgspec.MsgspecError as error:
        raise NodeError("an edge worker sent a message that cannot be read", cause=str(error)) from error


def _encode_hook(value: object) -> object:
    if isinstance(value, Size):
        return int(value)
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(
        f"no encoding for {type(value).__name__}"
    )  # a new field type without its encoding


def _decode_hook(kind: type, value: object) -> object:
    if kind is Size:
        return Size.parse(value)
    if issubclass(kind, Path):
        return Path(str(value))
    raise NotImplementedError(f"no decoding for {kind.__name__}")  # a new field type without its decoding


_encoder = msgspec.msgpack.Encoder(enc_hook=_encode_hook)
_to_edge: msgspec.msgpack.Decoder[ToEdge] = msgspec.msgpack.Decoder(ToEdge, dec_hook=_decode_hook)
_from_edge: msgspec.msgpack.Decoder[FromEdge] = msgspec.msgpack.Decoder(FromEdge, dec_hook=_decode_hook)
