"""TFLite models on a GPU, by the accelerator in LiteRT's package, which calls a Vulkan driver."""

from __future__ import annotations

import math
import os
import re
from typing import TYPE_CHECKING, Any

import ai_edge_litert
import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.environment import Environment, EnvironmentOptions
from ai_edge_litert.hardware_accelerator import HardwareAccelerator
from ai_edge_litert.options import GpuOptions, Options

from wasmind.errors import UnsupportedOperation
from wasmind.nn.tensor import TensorType
from wasmind.worker.runtimes.base import DTYPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmind.nn.signature import Signature
    from wasmind.worker.runtimes.base import Array
    from wasmind.worker.runtimes.tflite import TFLiteModel

PACKAGE = os.path.dirname(ai_edge_litert.__file__)
_TYPES = frozenset(
    {
        TensorType.F32,
        TensorType.F16,
        TensorType.BF16,
        TensorType.I32,
        TensorType.I8,
        TensorType.U8,
        TensorType.BOOL,
    }
)
"""Elements that LiteRT's buffers can have."""
_PLACE = re.compile(r"^\W*(?:ERROR: \[[^\]]*\]\s*)?")
"""What LiteRT puts before its words: where in its source they are."""
_REMARK = re.compile(r"\W*(?:INFO|WARNING):")


class Accelerator:
    """The GPU, open for as long as this lives."""

    def __init__(self) -> None:
        """Compute something on it. Raises RuntimeError when there is none."""
        options = EnvironmentOptions(runtime_path=PACKAGE)
        self._environment = Environment.create(options=options)
        compiled = self.compiled(_doubling(), HardwareAccelerator.GPU)
        taken, given = compiled.create_input_buffers(0), compiled.create_output_buffers(0)
        taken[0].write(np.arange(4, dtype=np.float32))
        compiled.run_by_index(0, taken, given)
        y = given[0].read(4, np.float32).tolist()
        if y != [0, 2, 4, 6] or not compiled.is_fully_accelerated():
            raise RuntimeError(f"an addition came out as {y}")

    def model(self, model: TFLiteModel, *, falls_back: bool) -> AcceleratedModel:
        """A model on it; `falls_back`: the CPU may compute what it cannot. Raises UnsupportedOperation."""
        if model.remembers:
            raise _only_on_cpu("it has variables, which would keep what a caller has sent")
        kinds = {spec.type for spec in (*model.signature.inputs, *model.signature.outputs)} - _TYPES
        if kinds:
            raise _only_on_cpu(f"it has tensors of {', '.join(sorted(map(str, kinds)))}")
        try:
            return AcceleratedModel(self, model, HardwareAccelerator.GPU)
        except RuntimeError as error:
            if not falls_back:
                raise _only_on_cpu(said(error)) from error
            why = said(error)
        try:
            return AcceleratedModel(self, model, HardwareAccelerator.GPU | HardwareAccelerator.CPU, why)
        except RuntimeError as error:
            raise _only_on_cpu(said(error)) from error

    def compiled(self, content: bytes, where: HardwareAccelerator) -> CompiledModel:
        """A model, compiled in the precision it was made in. Raises RuntimeError."""
        options = Options(hardware_accelerators=where, gpu_options=GpuOptions(enforce_f32=True))
        return CompiledModel.from_buffer(content, environment=self._environment, options=options)


class AcceleratedModel:
    """A model, compiled for each execution."""

    def __init__(
        self, accelerator: Accelerator, model: TFLiteModel, where: HardwareAccelerator, why: str | None = None
    ) -> None:
        """`why` the CPU computes a part of it. Raises RuntimeError."""
        self._accelerator, self._content, self._where = accelerator, model.content, where
        self.signature = model.signature
        self.notes = () if why is None else (f"on the CPU in part: {why}",)
        self.execution()  # what cannot be compiled shows here

    def execution(self) -> AcceleratedExecution:
        """A new execution of it."""
        return AcceleratedExecution(self._accelerator.compiled(self._content, self._where), self.signature)


class AcceleratedExecution:
    """A compiled model with buffers, which last until inputs of other shapes come."""

    def __init__(self, compiled: CompiledModel, signature: Signature) -> None:
        self._compiled = compiled
        self._key, named = next(iter(compiled.get_signature_list().items()))
        self._takes = [spec.name for spec in signature.inputs]
        self._gives = [spec.name for spec in signature.outputs]
        self._inputs = _positions(self._takes, named["inputs"])
        self._outputs = _positions(self._gives, named["outputs"])
        self._kinds = [DTYPES[spec.type] for spec in signature.outputs]
        self._shapes: list[tuple[int, ...]] | None = None
        self._taken: list[Any] = []
        self._given: list[Any] = []
        self._results: list[tuple[int, ...]] = []

    def run(self, inputs: Sequence[Array], places: Sequence[Array | None]) -> Sequence[Array]:
        """Run once, on this thread."""
        shapes = [array.shape for array in inputs]
        if shapes != self._shapes:
            self._resize(shapes)
        for position, array in zip(self._inputs, inputs, strict=True):
            self._taken[position].write(array)
        self._compiled.run_by_index(0, self._taken, self._given)
        return [self._output(index, place) for index, place in enumerate(places)]

    def abort(self) -> bool:
        """LiteRT has no way to end a run."""
        return False

    def _resize(self, shapes: list[tuple[int, ...]]) -> None:
        self._shapes = None  # until all of it has worked
        now = self._compiled.get_input_tensor_details(self._key)
        for name, position, shape in zip(self._takes, self._inputs, shapes, strict=True):
            if tuple(now[name]["shape"]) != shape:
                self._compiled.resize_input_tensor(position, shape)
        self._given = self._compiled.create_output_buffers(0)
        self._taken = self._compiled.create_input_buffers(0)
        details = self._compiled.get_output_tensor_details(self._key)
        self._results = [tuple(details[name]["shape"]) for name in self._gives]
        self._shapes = shapes

    def _output(self, index: int, place: Array | None) -> Array:
        shape = self._results[index]
        buffer = self._given[self._outputs[index]]
        array: Array = buffer.read(math.prod(shape), self._kinds[index]).reshape(shape)
        if place is None or place.shape != shape:
            return array
        place[...] = array
        return place


def _positions(names: Sequence[str], there: Sequence[str]) -> list[int]:
    """Where tensors stand among a compiled model's. Raises UnsupportedOperation."""
    if set(names) != set(there):
        raise _only_on_cpu(f"of its signatures the first has {', '.join(there)}, not {', '.join(names)}")
    return [there.index(name) for name in names]


def said(error: RuntimeError) -> str:
    """LiteRT's own words, without where in its source they were said."""
    lines = (_PLACE.sub("", line) for line in str(error).splitlines() if not _REMARK.match(line))
    return " ".join(filter(None, lines)) or "it cannot be opened"


def _only_on_cpu(why: str) -> UnsupportedOperation:
    return UnsupportedOperation(
        "LiteRT cannot run the model on a GPU", cause=why, remedy='set target = "cpu"'
    )


def _doubling() -> bytes:
    """A model: y = x + x, of 4 numbers."""
    graph, model = schema.SubGraphT(), schema.ModelT()
    graph.tensors = [_tensor("x"), _tensor("y")]
    operator, code = schema.OperatorT(), schema.OperatorCodeT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 0], [1]
    operator.builtinOptionsType, operator.builtinOptions = (
        schema.BuiltinOptions.AddOptions,
        schema.AddOptionsT(),
    )
    graph.operators, graph.inputs, graph.outputs = [operator], [0], [1]
    code.version = 1
    model.version, model.subgraphs, model.operatorCodes, model.buffers = (
        3,
        [graph],
        [code],
        [schema.BufferT()],
    )
    builder = flatbuffers.Builder(512)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tensor(name: str) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name, [4], schema.TensorType.FLOAT32, 0
    return tensor
