"""TFLite models, on LiteRT."""

from __future__ import annotations

import os
import struct
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"  # read when it is imported; it would greet in the log

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.schema_py_generated import BuiltinOperator, Model

from wasmind.errors import ModelLoadFailed
from wasmind.nn.signature import Dim, Signature, TensorSpec
from wasmind.worker.runtimes.base import DTYPES
from wasmind.worker.runtimes.devices import refuse
from wasmind.worker.syscalls import Profile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wasmind.config import Target
    from wasmind.worker.runtimes.accelerated import AcceleratedModel, Accelerator
    from wasmind.worker.runtimes.base import Array
    from wasmind.worker.spec import WorkerSpec

_TYPES = {dtype: kind for kind, dtype in DTYPES.items()}


class Runtime:
    """LiteRT, on the CPU with its XNNPACK kernels, or on a GPU."""

    name = f"ai-edge-litert {version('ai-edge-litert')}"
    profile = Profile()

    def __init__(self) -> None:
        self._accelerator: Accelerator | None = None

    def open_device(self, target: Target) -> str:
        """Open the GPU; LiteRT's package reaches no TPU."""
        if target != "gpu":
            refuse(target, self.name, ("CPU",))
        try:
            from wasmind.worker.runtimes import accelerated

            self._accelerator = accelerated.Accelerator()
        except ImportError as error:  # an older release
            refuse(target, self.name, ("CPU",), str(error))
        except RuntimeError as error:
            refuse(target, self.name, ("CPU",), accelerated.said(error))
        return "WebGPU"

    def load(self, spec: WorkerSpec) -> TFLiteModel | AcceleratedModel:
        """Load the model."""
        with open(spec.files[0].path, "rb") as file:
            model = TFLiteModel(file.read(), spec.threads)
        if spec.target == "cpu" or self._accelerator is None:
            return model
        return self._accelerator.model(model, falls_back=spec.fallback == "cpu")


class TFLiteModel:
    """A model's bytes; each execution has an interpreter of its own over them."""

    notes: tuple[str, ...] = ()

    def __init__(self, content: bytes, threads: int) -> None:
        self.content = content
        self.remembers = _remembers(content)
        """Whether it has variables that outlive a run."""
        self._threads = 1 if self.remembers else threads  # an interpreter for each run, and no new threads
        first = self.interpreter()
        names = _names(first)
        self.signature = Signature(
            tuple(_spec("input", names, details) for details in first.get_input_details()),
            tuple(_spec("output", names, details) for details in first.get_output_details()),
        )
        if all(isinstance(dim, int) for spec in self.signature.inputs for dim in spec.dims or ()):
            first.allocate_tensors()  # what is wrong with the graph shows here

    def execution(self) -> TFLiteExecution:
        """A new execution of it."""
        return TFLiteExecution(self)

    def interpreter(self) -> Interpreter:
        """A new interpreter, which remembers nothing."""
        return Interpreter(model_content=self.content, num_threads=self._threads)


class TFLiteExecution:
    """One interpreter. It keeps its tensors' memory until inputs of other shapes come."""

    def __init__(self, model: TFLiteModel) -> None:
        self._model = model
        self._interpreter = interpreter = model.interpreter()
        self._inputs = [details["index"] for details in interpreter.get_input_details()]
        self._outputs = [details["index"] for details in interpreter.get_output_details()]
        self._shapes: list[tuple[int, ...]] | None = None

    def run(self, inputs: Sequence[Array], places: Sequence[Array | None]) -> Sequence[Array]:
        """Run once, on this thread."""
        if self._model.remembers:
            self._interpreter, self._shapes = self._model.interpreter(), None
        shapes = [array.shape for array in inputs]
        if shapes != self._shapes:
            self._resize(shapes)
        interpreter = self._interpreter
        for index, array in zip(self._inputs, inputs, strict=True):
            interpreter.set_tensor(index, array)
        interpreter.reset_all_variables()  # what one caller's run has left is not for the next
        interpreter.invoke()
        return [self._output(index, place) for index, place in zip(self._outputs, places, strict=True)]

    def abort(self) -> bool:
        """LiteRT has no way to end a run."""
        return False

    def _resize(self, shapes: list[tuple[int, ...]]) -> None:
        self._shapes = None  # until all of it has worked
        for index, shape in zip(self._inputs, shapes, strict=True):
            self._interpreter.resize_tensor_input(index, shape)
        self._interpreter.allocate_tensors()
        self._shapes = shapes

    def _output(self, index: int, place: Array | None) -> Array:
        view: Array = self._interpreter.tensor(index)()
        if place is None or view.shape != place.shape:
            return view.copy()  # the interpreter does not run again while its memory is looked at
        place[...] = view
        return place


def _remembers(content: bytes) -> bool:
    """Whether a model has variables of its own beside its tensors. Raises ModelLoadFailed."""
    try:
        model = Model.GetRootAs(content)
        codes = [model.OperatorCodes(index) for index in range(model.OperatorCodesLength())]
        return any(
            BuiltinOperator.ASSIGN_VARIABLE in (code.BuiltinCode(), code.DeprecatedBuiltinCode())
            for code in codes
            if code is not None
        )
    except (struct.error, ValueError, IndexError, TypeError) as error:
        raise ModelLoadFailed(
            "the model's file is damaged",
            cause=f"its table of operators cannot be read: {error}",
            remedy="export the model again, or check that the whole file arrived (its size or checksum)",
        ) from error


def _names(interpreter: Interpreter) -> Mapping[int, str]:
    """Tensors by the names that the model's one signature gives them, which are shorter than their own."""
    signatures: dict[str, Any] = interpreter._get_full_signature_list()
    if len(signatures) != 1:
        return {}
    (signature,) = signatures.values()
    return {index: name for kind in ("inputs", "outputs") for name, index in signature[kind].items()}


def _spec(what: str, names: Mapping[int, str], details: Mapping[str, Any]) -> TensorSpec:
    name = names.get(details["index"], details["name"])
    kind = _TYPES.get(np.dtype(details["dtype"]))
    if kind is None:
        raise ModelLoadFailed(
            f"the {what} {name!r} is a tensor of {np.dtype(details['dtype'])}, "
            "which no wasi-nn tensor can hold",
            remedy="export the model with numeric tensors only",
        )
    shape = details["shape_signature"] if len(details["shape_signature"]) else details["shape"]
    dims: tuple[Dim, ...] = tuple(int(dim) if dim >= 0 else None for dim in shape)
    return TensorSpec(name, kind, dims)
