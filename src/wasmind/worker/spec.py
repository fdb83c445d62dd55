"""What a model worker is told before it is confined, and what it answers once it serves."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from wasmind.catalog.files import ModelFile
from wasmind.config import Converted, Device, Encoding, Generation, Runtime, Target
from wasmind.nn.signature import Signature

MAX_REPORT = 8 << 20
"""The largest report a worker may make, in bytes: a signature of thousands of tensors fits."""

END, LEAVE = b"end", b"leave"
"""What a worker is told at last: to answer what it has accepted and end, or to serve the edges that are
connected until each has left."""

Confining: TypeAlias = Literal["required", "best-effort"]
Side: TypeAlias = Literal["inputs", "outputs"]
"""What of a model that runs elsewhere is converted here, in the place of an encoding."""


class Conversions(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker converts between functions and the model."""

    inputs: dict[str, Converted] = {}
    outputs: dict[str, Converted] = {}
    labels: tuple[str, ...] = ()
    """What the positions of a classifier's output mean, where a step tells it."""

    @property
    def kinds(self) -> frozenset[str]:
        """The steps that there are."""
        declared = (*self.inputs.values(), *self.outputs.values())
        return frozenset(kind for one in declared for step in one.steps for kind in step.kinds)


class WorkerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One model worker: what it loads, how it runs it, and what it may use."""

    name: str
    """The model's name, for people."""
    files: tuple[ModelFile, ...]
    """All that it may read; the first is the model. `catalog.files.files_of` finds them."""
    encoding: Encoding | Side
    runtime: Runtime | Literal["convert"]
    """`convert`: no model, only its conversions."""
    declared: Signature | None = None
    """What the operator says that a TorchScript model takes and gives, or what the servers of a model say
    whose conversions run here."""
    target: Target = "cpu"
    fallback: Literal["cpu"] | None = None
    """Where to run when there is no such target; None: it is refused."""
    device: Device | None = None
    """What the process is given of the target; None: nothing."""
    instances: int = 1
    """Inferences that may run at the same time."""
    threads: int = 1
    """Threads that one inference may use."""
    batch: int = 1
    """The largest batch; 1 means no batching."""
    batch_delay_ms: float = 0.0
    """How long the first of a batch may wait for others."""
    generation: Generation = Generation()
    """For a language model: how long its texts may be, and how many it writes at the same time."""
    memory: int = 4 << 30
    """Bytes of private memory the process may have."""
    run_limit_ms: float = 30_000.0
    """A run that takes longer is aborted, and if it does not stop, the process is killed."""
    load_timeout_ms: float = 120_000.0
    """Loading and warming up that takes longer is killed."""
    warm_up: bool = True
    conversions: Conversions | None = None
    """None: functions see the model as it is."""
    confinement: Confining = "required"
    """`best-effort` serves even where the kernel lacks Landlock or seccomp, and says so."""


class Confinement(msgspec.Struct, frozen=True, kw_only=True):
    """What holds a worker, or what this machine offers to hold one."""

    landlock: int
    """The ABI version of Landlock; 0: not there."""
    seccomp: bool
    notes: tuple[str, ...] = ()
    """What is missing and what that costs, for people."""

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return self.landlock > 0 and self.seccomp


# --- reports: worker → parent ---------------------------------------------------------------------------


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The model is loaded and warm, the worker is confined and accepts connections."""

    signature: Signature
    runtime: Annotated[str, msgspec.Meta(max_length=100)]
    """The framework and its version."""
    load_ms: float
    warm_up_ms: float
    run_ms: float | None = None
    """One inference of a made-up input, alone and warm; None where that was not measured."""
    memory: int
    """Resident bytes of the process."""
    batch: int
    """The largest batch it makes: the one configured, or 1 where the model cannot be batched."""
    confinement: Confinement
    notes: tuple[Annotated[str, msgspec.Meta(max_length=2000)], ...] = ()
    """Why it does not warm up or batch, for people."""


class LoadFailed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The model cannot be served; the process ends. Carries an error of wasmind.errors."""

    code: str
    message: str
    cause: str | None = None
    remedy: str | None = None


Report: TypeAlias = Ready | LoadFailed
