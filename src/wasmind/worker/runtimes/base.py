"""What a worker asks of a framework. Each has one file beside this, and only that imports it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import ml_dtypes
import numpy as np

from wasmind.errors import InvalidEncoding
from wasmind.nn.tensor import TensorType

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal, TypeAlias

    from wasmind.config import Encoding, Runtime, Target
    from wasmind.nn.signature import Signature
    from wasmind.worker.spec import Side, WorkerSpec
    from wasmind.worker.syscalls import Profile

    Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

DTYPES: dict[TensorType, np.dtype[Any]] = {
    TensorType.F16: np.dtype(np.float16),
    TensorType.F32: np.dtype(np.float32),
    TensorType.F64: np.dtype(np.float64),
    TensorType.BF16: np.dtype(ml_dtypes.bfloat16),
    TensorType.U8: np.dtype(np.uint8),
    TensorType.I32: np.dtype(np.int32),
    TensorType.I64: np.dtype(np.int64),
    TensorType.BOOL: np.dtype(np.bool_),
    TensorType.I8: np.dtype(np.int8),
    TensorType.I16: np.dtype(np.int16),
    TensorType.U16: np.dtype(np.uint16),
    TensorType.U32: np.dtype(np.uint32),
    TensorType.U64: np.dtype(np.uint64),
}
"""The numpy type of each element type."""


class Execution(Protocol):
    """One inference at a time on a loaded model; each thread of a worker has one."""

    def run(self, inputs: Sequence[Array], places: Sequence[Array | None]) -> Sequence[Array]:
        """The outputs, in the signature's order.

        Inputs are contiguous. Where a place is given, the output may be written there, and the place itself
        is then returned; else the array returned is good until the next run. Nobody changes either sequence
        afterwards, so where the same two come again nothing needs to be set up, and `places` itself may be
        returned when all outputs are in their places. Raises whatever the framework raises.
        """

    def abort(self) -> bool:
        """From another thread: let the run under way end with an error. False if that cannot be."""


class Generation(Protocol):
    """One inference that goes step by step, and its state."""

    @property
    def ended(self) -> bool:
        """Whether there are no more steps; what it held is given back then."""

    def step(self) -> Sequence[Array]:
        """The outputs of the next step, in the signature's order.

        Raises EndOfSequence or ContextFull after the last one, and whatever the framework raises. A step that
        was aborted may be taken again.
        """

    def close(self) -> None:
        """Give back what it holds. Not called during a step."""


class SteppingExecution(Execution, Protocol):
    """An execution of a model whose signature says `steps`."""

    def begin(self, inputs: Sequence[Array]) -> Generation:
        """Begin an inference; its first step does the work of it. Called at most as often at once as
        `spec.generation.at_once` says. Raises InvalidArgument, PromptTooLong.
        """


class LoadedModel(Protocol):
    """A model in memory."""

    @property
    def signature(self) -> Signature:
        """Its inputs and outputs."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What of it does not run where the operator wants it, for people."""

    def execution(self) -> Execution:
        """A new execution of it."""


class Framework(Protocol):
    """A framework, imported."""

    @property
    def name(self) -> str:
        """Its name and version."""

    @property
    def profile(self) -> Profile:
        """The system calls that it needs beyond everybody's."""

    def open_device(self, target: Target) -> str:
        """Have the driver of a device other than the CPU loaded, and seen to compute, while files can still
        be opened; returns what it calls the device. Raises UnsupportedOperation.
        """

    def load(self, spec: WorkerSpec) -> LoadedModel:
        """Load the model from its files, for the CPU or the device that was opened. Raises ModelLoadFailed,
        UnsupportedOperation, or what the framework raises.
        """


@dataclass(frozen=True, slots=True)
class Offer:
    """A runtime that this version knows, whether or not it is installed."""

    module: str
    encodings: frozenset[str]
    extra: str
    """The optional dependency that installs it."""
    floor: int
    """Bytes of private memory that the framework takes before any model."""


RUNTIMES: dict[Runtime, Offer] = {
    "onnx": Offer("wasmind.worker.runtimes.onnx", frozenset({"onnx"}), "onnx", 160 << 20),
    "openvino": Offer(
        "wasmind.worker.runtimes.openvino",
        frozenset({"openvino", "onnx", "tensorflowlite", "tensorflow"}),
        "openvino",
        130 << 20,
    ),
    "pytorch": Offer("wasmind.worker.runtimes.pytorch", frozenset({"pytorch"}), "pytorch", 300 << 20),
    "tensorflow": Offer(
        "wasmind.worker.runtimes.tensorflow", frozenset({"tensorflow"}), "tensorflow", 400 << 20
    ),
    "tflite": Offer("wasmind.worker.runtimes.tflite", frozenset({"tensorflowlite"}), "tflite", 90 << 20),
    "ggml": Offer("wasmind.worker.runtimes.ggml", frozenset({"ggml"}), "ggml", 96 << 20),
}
CONVERT = Offer("wasmind.worker.runtimes.convert", frozenset({"inputs", "outputs"}), "image", 96 << 20)
"""What converts for a model elsewhere: no runtime that a model may name."""


def offered(runtime: Runtime | Literal["convert"]) -> Offer | None:
    """The runtime of this name."""
    return CONVERT if runtime == "convert" else RUNTIMES.get(runtime)


def framework(runtime: Runtime | Literal["convert"], encoding: Encoding | Side) -> Framework:
    """Import a framework. Raises InvalidEncoding when it does not read the encoding, or is not installed."""
    offer = offered(runtime)
    if offer is None or encoding not in offer.encodings:
        readers = sorted(name for name, other in RUNTIMES.items() if encoding in other.encodings)
        raise InvalidEncoding(
            f"the runtime {runtime!r} does not read the encoding {encoding!r}",
            remedy=f"set runtime = {readers[0]!r}" if readers else "convert the model, to ONNX for example",
        )
    try:
        loaded: Framework = import_module(offer.module).Runtime()
    except ModuleNotFoundError as error:
        raise InvalidEncoding(
            f"the runtime {runtime!r} is not installed",
            cause=str(error),
            remedy=f"pip install 'wasmind[{offer.extra}]'",
        ) from error
    return loaded
