"""OpenVINO's own models (XML and weights), and ONNX, TFLite and SavedModels through it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

# ruff: noqa: E402 - what OpenVINO would import is taken away before
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # it would send who imports OpenVINO

import numpy as np
import openvino as ov
from openvino.frontend import FrontEndManager

from wasmind.errors import ModelLoadFailed
from wasmind.nn.signature import Dim, Signature, TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.worker.runtimes.base import DTYPES
from wasmind.worker.runtimes.devices import refuse
from wasmind.worker.syscalls import Profile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmind.config import Target
    from wasmind.worker.runtimes.base import Array
    from wasmind.worker.spec import WorkerSpec

_TYPES = {("boolean" if kind is TensorType.BOOL else str(kind)): kind for kind in TensorType}
_READERS = {
    "openvino": "ir",
    "onnx": "onnx",
    "tensorflowlite": "tflite",
    "tensorflow": "tf",
}
_DEVICES: dict[Target, str] = {"cpu": "CPU", "gpu": "GPU", "tpu": "NPU"}


class Runtime:
    """OpenVINO, on the devices that it sees from within a worker."""

    name = f"openvino {ov.__version__.partition('-')[0]}"
    profile = Profile(executable_memory=True, files=(os.path.join(os.path.dirname(ov.__file__), "libs"),))

    def __init__(self) -> None:
        """Load the libraries of devices and readers: later, none can be opened."""
        self._core = ov.Core()
        self._device = "CPU"
        self._readers = {name: FrontEndManager().load_by_framework(name) for name in _READERS.values()}

    def open_device(self, target: Target) -> str:
        """Take the first device of the kind, and have its plug-in compile something for it."""
        there: list[str] = self._core.available_devices
        device = next((one for one in there if one.partition(".")[0] == _DEVICES[target]), None)
        if device is None:
            refuse(target, self.name, there)
        try:
            _try(self._core, device)
        except RuntimeError as error:
            refuse(target, self.name, there, str(error))
        self._device = device
        return device

    def load(self, spec: WorkerSpec) -> OpenVinoModel:
        """Load the model, computed in the precision it was made in."""
        core, device = self._core, "CPU" if spec.target == "cpu" else self._device
        core.set_property({"ENABLE_MMAP": False})  # a file that is replaced must not change what is loaded
        model = self._read(spec)
        settings = {"EXECUTION_MODE_HINT": "ACCURACY"}
        if spec.target != "tpu":  # NPUs compute in f16 at most
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        if device == "CPU":
            settings |= {
                "PERFORMANCE_HINT": "LATENCY",
                "NUM_STREAMS": str(spec.instances),
                "INFERENCE_NUM_THREADS": str(spec.threads * spec.instances),
                "ENABLE_CPU_PINNING": "NO",
            }
        return OpenVinoModel(core.compile_model(model, device, settings))

    def _read(self, spec: WorkerSpec) -> ov.Model:
        """Read the model by the reader of its encoding alone; left to itself, OpenVINO tries all it has."""
        path = spec.files[0].path
        if spec.encoding == "openvino":
            weights = [file.path for file in spec.files if file.role == "weights"]
            return self._core.read_model(path, weights[0] if weights else "")
        reader = self._readers[_READERS[spec.encoding]]
        found = reader.load(os.path.dirname(path) if spec.encoding == "tensorflow" else path, False)
        return ov.Model(reader.convert(found))


class OpenVinoModel:
    """A compiled model; as many threads run it at once as it has streams."""

    notes: tuple[str, ...] = ()

    def __init__(self, compiled: ov.CompiledModel) -> None:
        if not compiled.outputs:
            raise ModelLoadFailed(
                "the model gives nothing",
                cause="OpenVINO found no outputs in it",
                remedy="export it so that its results do not depend on variables that it changes",
            )
        self._compiled = compiled
        self.signature = Signature(
            tuple(_spec("input", port) for port in compiled.inputs),
            tuple(_spec("output", port) for port in compiled.outputs),
        )

    def execution(self) -> OpenVinoExecution:
        """A new execution of it."""
        return OpenVinoExecution(self._compiled, self.signature)


class OpenVinoExecution:
    """One request, whose tensors stay bound to the same arrays for as long as these come again."""

    def __init__(self, compiled: ov.CompiledModel, signature: Signature) -> None:
        self._compiled = compiled
        self._input_types = [spec.type for spec in signature.inputs]
        self._output_types = [spec.type for spec in signature.outputs]
        self._fixed = [None not in (spec.dims or (None,)) for spec in signature.outputs]
        self._begin()

    def run(self, inputs: Sequence[Array], places: Sequence[Array | None]) -> Sequence[Array]:
        """Run once, on this thread."""
        if inputs is not self._all_inputs or places is not self._all_places:
            self._bind(inputs, places)
        if self._remembers:
            self._request.reset_state()  # what one caller's run has left is not for the next
        try:
            # Not infer(): with one thread it keeps an error to itself, and the last answer in its place.
            self._request.start_async()
            self._request.wait()
        except Exception:
            self._begin()  # what a failed run leaves in its request is not known
            raise
        return [self._output(index, place) for index, place in enumerate(places)]

    def abort(self) -> bool:
        """End the run under way: OpenVINO looks between two nodes, but not inside a loop."""
        self._request.cancel()
        return True

    def _begin(self) -> None:
        self._request = self._compiled.create_infer_request()
        self._own = [self._request.get_output_tensor(index) for index in range(len(self._output_types))]
        self._bound_inputs: list[Array | None] = [None] * len(self._input_types)
        self._bound_outputs: list[Array | None] = [None] * len(self._output_types)
        self._all_inputs: Sequence[Array] | None = None
        self._all_places: Sequence[Array | None] | None = None
        self._remembers = bool(self._request.query_state())

    def _bind(self, inputs: Sequence[Array], places: Sequence[Array | None]) -> None:
        for index, array in enumerate(inputs):
            if self._bound_inputs[index] is not array:
                self._request.set_input_tensor(index, _tensor(array, self._input_types[index]))
                self._bound_inputs[index] = array
        for index, place in enumerate(places):
            # Into memory of another size than it needs OpenVINO writes nothing, and does not say so.
            if self._fixed[index] and self._bound_outputs[index] is not place:
                kind = self._output_types[index]
                tensor = self._own[index] if place is None else _tensor(place, kind)
                self._request.set_output_tensor(index, tensor)
                self._bound_outputs[index] = place
        self._all_inputs, self._all_places = inputs, places

    def _output(self, index: int, place: Array | None) -> Array:
        """An output where it was to go, or else where OpenVINO has put it."""
        if place is not None and self._bound_outputs[index] is place:
            return place
        data: Array = self._request.get_output_tensor(index).data
        return data.view(DTYPES[TensorType.BF16]) if self._output_types[index] is TensorType.BF16 else data


def _try(core: ov.Core, device: str) -> None:
    """Compute something on a device. Raises RuntimeError."""
    from openvino import opset13

    x = opset13.parameter([4], np.float32)
    (y,) = core.compile_model(ov.Model([opset13.add(x, x)], [x]), device)(
        np.arange(4, dtype=np.float32)
    ).values()
    if y.tolist() != [0, 2, 4, 6]:
        raise RuntimeError(f"an addition came out as {y.tolist()}")


def _tensor(array: Array, kind: TensorType) -> ov.Tensor:
    """An array as OpenVINO takes it, in place."""
    if kind is TensorType.BF16:
        return ov.Tensor(array.view(np.uint16), ov.Shape(array.shape), ov.Type.bf16)
    return ov.Tensor(array, shared_memory=True)


def _spec(what: str, port: Any) -> TensorSpec:
    names = sorted(port.get_names(), key=lambda name: (len(name), name))
    name = names[0] if names else port.get_node().get_friendly_name()
    written = port.element_type.get_type_name()
    kind = _TYPES.get(written)
    if kind is None:
        raise ModelLoadFailed(
            f"the {what} {name!r} is a tensor of {written}, which no wasi-nn tensor can hold",
            remedy="export the model with tensors of whole bytes, and of numbers only",
        )
    shape = port.partial_shape
    if shape.rank.is_dynamic:
        return TensorSpec(name, kind, None)
    dims: tuple[Dim, ...] = tuple(dim.get_length() if dim.is_static else None for dim in shape)
    return TensorSpec(name, kind, dims)
