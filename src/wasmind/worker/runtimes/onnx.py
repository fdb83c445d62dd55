"""ONNX models, on onnxruntime."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when it is imported; it starts a thread otherwise

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as native

from wasmind.errors import ModelLoadFailed
from wasmind.nn.signature import Dim, Signature, TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.worker.runtimes import providers
from wasmind.worker.runtimes.base import DTYPES
from wasmind.worker.runtimes.devices import in_part, refuse, refuse_part
from wasmind.worker.syscalls import Profile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmind.config import Target
    from wasmind.worker.runtimes.base import Array
    from wasmind.worker.spec import WorkerSpec

_TYPES = {
    "tensor(float16)": TensorType.F16,
    "tensor(float)": TensorType.F32,
    "tensor(double)": TensorType.F64,
    "tensor(bfloat16)": TensorType.BF16,
    "tensor(uint8)": TensorType.U8,
    "tensor(int32)": TensorType.I32,
    "tensor(int64)": TensorType.I64,
    "tensor(bool)": TensorType.BOOL,
    "tensor(int8)": TensorType.I8,
    "tensor(int16)": TensorType.I16,
    "tensor(uint16)": TensorType.U16,
    "tensor(uint32)": TensorType.U32,
    "tensor(uint64)": TensorType.U64,
}
# onnx.TensorProto.DataType
_NUMBERS = {
    TensorType.F32: 1,
    TensorType.U8: 2,
    TensorType.I8: 3,
    TensorType.U16: 4,
    TensorType.I16: 5,
    TensorType.I32: 6,
    TensorType.I64: 7,
    TensorType.BOOL: 9,
    TensorType.F16: 10,
    TensorType.F64: 11,
    TensorType.U32: 12,
    TensorType.U64: 13,
    TensorType.BF16: 16,
}
_DTYPE_OF_NUMBER = {number: DTYPES[kind] for kind, number in _NUMBERS.items()}
_OTHER_SHAPE = ("OutputMLValue", "Got invalid dimensions for output")
_CPU = native.OrtDevice(native.OrtDevice.cpu(), native.OrtDevice.default_memory(), 0)


class Runtime:
    """onnxruntime, on its CPU provider or one for a device."""

    name = f"onnxruntime {ort.__version__}"
    profile = Profile()

    def __init__(self) -> None:
        self._open: tuple[providers.Provider, ort.InferenceSession] | None = None

    def open_device(self, target: Target) -> str:
        """Take the first provider for the device that computes."""
        try:
            self._open = providers.opened(target, lambda: _session_options(1))
        except LookupError as error:
            refuse(target, self.name, ort.get_available_providers(), str(error))
        return self._open[0].name

    def load(self, spec: WorkerSpec) -> OnnxModel:
        """Load the model. The optimised graph stays in memory: nothing is written anywhere."""
        options = _session_options(spec.threads)
        if spec.target == "cpu" or self._open is None:
            return OnnxModel(providers.Provider(providers.CPU).session(spec.files[0].path, options))
        provider = self._open[0]
        session = provider.session(spec.files[0].path, options)
        left = providers.on_cpu(session)
        if left and spec.fallback != "cpu":
            refuse_part(spec.target, provider.name, left)
        return OnnxModel(session, (in_part(left),) if left else ())


class OnnxModel:
    """A session; any number of threads may run it."""

    def __init__(self, session: ort.InferenceSession, notes: tuple[str, ...] = ()) -> None:
        self._session = session._sess
        self.notes = notes
        self.signature = Signature(
            tuple(_spec("input", node) for node in session.get_inputs()),
            tuple(_spec("output", node) for node in session.get_outputs()),
        )

    def execution(self) -> OnnxExecution:
        """A new execution of it."""
        return OnnxExecution(self._session, self.signature)


class OnnxExecution:
    """One binding of inputs and outputs to memory.

    Binding costs as much as a small run, so what was bound stays bound for as long as the same arrays come
    again. Outputs are written to their places directly, until one has a shape that the signature denies:
    onnxruntime loads such models, and runs them if it may choose the memory itself.
    """

    def __init__(self, session: Any, signature: Signature) -> None:
        self._session = session
        self._inputs = [(spec.name, _NUMBERS[spec.type]) for spec in signature.inputs]
        self._outputs = [(spec.name, _NUMBERS[spec.type]) for spec in signature.outputs]
        self._direct = True
        self._binding: Any = None
        self._options = _run_options()
        self._bound_inputs: list[Array | None] = []
        self._bound_outputs: list[Array | None] = []
        self._all_inputs: Sequence[Array] | None = None
        self._all_places: Sequence[Array | None] | None = None
        self._complete = False
        self._forget()

    def run(self, inputs: Sequence[Array], places: Sequence[Array | None]) -> Sequence[Array]:
        """Run once, on this thread."""
        if not self._direct:
            places = [None] * len(self._outputs)
        try:
            if inputs is not self._all_inputs or places is not self._all_places:
                self._bind(inputs, places)
            self._session.run_with_iobinding(self._binding, self._options)
        except Exception as error:
            self._forget()
            if not self._direct or not any(sign in str(error) for sign in _OTHER_SHAPE):
                raise
            self._direct = False
            return self.run(inputs, places)
        if self._complete:
            return places  # type: ignore[return-value]  # none of them is None
        self._values = values = self._binding.get_outputs()  # kept: the arrays look into it
        return [_array(values[index]) if place is None else place for index, place in enumerate(places)]

    def abort(self) -> bool:
        """End the run under way: onnxruntime looks between two nodes, inside loops too."""
        options, self._options = self._options, _run_options()  # the next run does not see it
        options.terminate = True
        return True

    def _bind(self, inputs: Sequence[Array], places: Sequence[Array | None]) -> None:
        bound = self._bound_inputs
        for index, array in enumerate(inputs):
            if bound[index] is not array:
                name, number = self._inputs[index]
                self._binding.bind_input(name, _CPU, number, array.shape, array.ctypes.data)
                bound[index] = array
        bound = self._bound_outputs
        for index, place in enumerate(places):
            name, number = self._outputs[index]
            if place is None:
                self._binding.bind_output(name, _CPU)
                bound[index] = None
            elif bound[index] is not place:
                self._binding.bind_output(name, _CPU, number, place.shape, place.ctypes.data)
                bound[index] = place
        self._complete = all(place is not None for place in places)
        # Where onnxruntime chooses the memory, it does so anew each time.
        self._all_inputs = inputs if self._complete else None
        self._all_places = places

    def _forget(self) -> None:
        """Start afresh, as after a failed run, which may leave the binding or the options in any state."""
        self._binding = native.SessionIOBinding(self._session)
        self._options = _run_options()
        self._bound_inputs = [None] * len(self._inputs)
        self._bound_outputs = [None] * len(self._outputs)
        self._all_inputs = self._all_places = None


def _session_options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what fails is raised; logged as well, it would flood the log
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


def _run_options() -> native.RunOptions:
    options = native.RunOptions()
    options.log_severity_level = 4
    return options


def _spec(what: str, node: ort.NodeArg) -> TensorSpec:
    kind = _TYPES.get(node.type)
    if kind is None:
        raise ModelLoadFailed(
            f"the {what} {node.name!r} is a {node.type}, which no wasi-nn tensor can hold",
            remedy="export the model with numeric tensors only (for scikit-learn: zipmap=False)",
        )
    dims: tuple[Dim, ...] = tuple(dim if isinstance(dim, (int, str)) else None for dim in node.shape)
    return TensorSpec(node.name, kind, dims)


def _array(value: native.OrtValue) -> Array:
    """The tensor of an OrtValue, in place."""
    shape = tuple(value.shape())
    dtype = _DTYPE_OF_NUMBER[value.element_type()]
    size = dtype.itemsize
    for dim in shape:
        size *= dim
    if not size:
        return np.empty(shape, dtype)
    raw = memoryview((ctypes.c_char * size).from_address(value.data_ptr())).cast("B")
    return np.frombuffer(raw, dtype).reshape(shape)
