"""A backend in this process, on the real framework: what a worker does, without the worker."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime as ort

from wasmind.errors import ModelLoadFailed, ModelNotFound, RuntimeFailed, UnsupportedOperation
from wasmind.nn.explain import explained
from wasmind.nn.graph import Graph
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import Tensor, TensorType

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from wasmind.nn.encoding import Encoding, Target

TYPES: dict[str, tuple[TensorType, Any]] = {
    "tensor(float16)": (TensorType.F16, np.float16),
    "tensor(float)": (TensorType.F32, np.float32),
    "tensor(double)": (TensorType.F64, np.float64),
    "tensor(uint8)": (TensorType.U8, np.uint8),
    "tensor(int8)": (TensorType.I8, np.int8),
    "tensor(int32)": (TensorType.I32, np.int32),
    "tensor(int64)": (TensorType.I64, np.int64),
    "tensor(uint16)": (TensorType.U16, np.uint16),
    "tensor(uint64)": (TensorType.U64, np.uint64),
    "tensor(bool)": (TensorType.BOOL, np.bool_),
}
NUMPY = dict(TYPES.values())
KINDS = {np.dtype(dtype): kind for kind, dtype in NUMPY.items()}


class HeldLease:
    """Memory for one input, counted until it is released."""

    def __init__(self, backend: OnnxBackend, size: int) -> None:
        self.view = memoryview(bytearray(size))
        self._backend = backend
        backend.held += 1
        backend.leased += 1

    def release(self) -> None:
        if self._backend is not None:
            self._backend.held -= 1
            self._backend = None  # type: ignore[assignment]
            self.view.release()


class HeldOutputs:
    """Outputs, counted until they are released."""

    def __init__(self, backend: OnnxBackend, tensors: tuple[Tensor, ...], compute_ns: int) -> None:
        self.tensors = tensors
        self.queue_ns = 1000
        self.compute_ns = compute_ns
        self._backend: OnnxBackend | None = backend
        backend.held += 1

    def release(self) -> None:
        if self._backend is not None:
            self._backend.held -= 1
            self._backend = None


class OnnxBackend:
    """An onnxruntime session as an `nn.Backend`. `held` counts leases and outputs that are not released."""

    def __init__(self, model: bytes, delay: float = 0.0) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.held = 0
        self.leased = 0
        self.calls = 0
        self.tenants: list[str] = []
        self.delay = delay
        self.cancelled = 0
        self._signature = Signature(
            tuple(_spec("input", item) for item in self._session.get_inputs()),
            tuple(_spec("output", item) for item in self._session.get_outputs()),
        )

    @property
    def signature(self) -> Signature:
        return self._signature

    def lease(self, size: int) -> HeldLease:
        return HeldLease(self, size)

    async def infer(self, inputs: tuple[Tensor, ...], deadline: float, tenant: str) -> HeldOutputs:
        assert deadline > asyncio.get_running_loop().time()
        self.calls += 1
        self.tenants.append(tenant)
        try:
            if self.delay:
                await asyncio.sleep(self.delay)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        feed = {
            spec.name: np.frombuffer(tensor.data, NUMPY[tensor.type]).reshape(tensor.dims)
            for spec, tensor in zip(self._signature.inputs, inputs, strict=True)
        }
        began = time.perf_counter_ns()
        try:
            values = self._session.run(None, feed)
        except Exception as error:
            raise explained(str(error), RuntimeFailed) from error
        took = time.perf_counter_ns() - began
        return HeldOutputs(self, tuple(_tensor(value) for value in values), took)


class FixedModels:
    """The models of one function (an `nn.Models`)."""

    def __init__(self, **graphs: Graph) -> None:
        self.graphs = graphs
        self.allow_load = False
        self.loaded: list[tuple[tuple[bytes, ...], Encoding, Target]] = []
        self.wait = False
        self.asked: list[str] = []

    def resolve(self, name: str) -> Graph | Awaitable[Graph]:
        self.asked.append(name)
        graph = self.graphs.get(name)
        if graph is None:
            raise ModelNotFound("no such model")
        return self._later(graph) if self.wait else graph

    async def _later(self, graph: Graph) -> Graph:
        await asyncio.sleep(0.001)
        return graph

    async def load(self, builders: tuple[bytes, ...], encoding: Encoding, target: Target) -> Graph:
        self.loaded.append((builders, encoding, target))
        await asyncio.sleep(0)
        if target.value != "cpu":
            raise UnsupportedOperation(f"there is no {target} here")
        try:
            return Graph("loaded", OnnxBackend(b"".join(builders)))
        except Exception as error:
            raise explained(str(error), ModelLoadFailed) from error


def _spec(kind: str, item: Any) -> TensorSpec:
    dims = tuple(dim if isinstance(dim, int | str) else None for dim in item.shape)
    return TensorSpec(item.name or kind, TYPES[item.type][0], dims)


def _tensor(value: np.ndarray[Any, Any]) -> Tensor:
    data = np.ascontiguousarray(value).tobytes()
    return Tensor(KINDS[value.dtype], tuple(map(int, value.shape)), memoryview(data))
