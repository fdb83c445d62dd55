"""Execution contexts: the inputs of one computation, and its outputs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import perf_counter_ns

from wasmind.errors import InvalidArgument, TooLarge
from wasmind.nn import validation
from wasmind.nn.backend import Lease, Outputs
from wasmind.nn.graph import Graph
from wasmind.nn.signature import TensorSpec
from wasmind.nn.tensor import Buffer, Tensor, TensorType

TENSOR_COST = 256
"""Bytes that a tensor counts for beside its data, so that empty ones are not free."""


class Memory:
    """The bytes that one guest's tensors take on the host."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def take(self, size: int) -> None:
        """Count `size` more bytes. Raises TooLarge when they are too many."""
        if self.used + size > self.limit:
            raise TooLarge(
                f"{size} more bytes of tensors would be over the function's limit",
                cause=f"{self.used} of {self.limit} bytes are in use",
                remedy="close contexts that are done with, or raise limits.nn_memory",
            )
        self.used += size

    def free(self, size: int) -> None:
        """Count `size` bytes no more."""
        self.used -= size


class Timing:
    """Where a guest's inference time went, in nanoseconds."""

    __slots__ = ("compute_ns", "count", "queue_ns", "stand_ins", "waited_ns")

    def __init__(self) -> None:
        self.count = 0
        self.waited_ns = 0
        """From `compute` to its outputs, as the guest saw it; failed computations count too."""
        self.queue_ns = 0
        self.compute_ns = 0
        self.stand_ins: list[str] = []
        """Which models others stood in for, in words."""


class ExecutionContext:
    """Inputs and outputs of a graph for one guest. Only its `Session` makes one."""

    __slots__ = (
        "_computing",
        "_inputs",
        "_leases",
        "_memory",
        "_outputs",
        "_outputs_size",
        "_timing",
        "closed",
        "graph",
        "tenant",
    )

    def __init__(self, graph: Graph, memory: Memory, timing: Timing, tenant: str) -> None:
        count = len(graph.signature.inputs)
        self.graph = graph
        self.tenant = tenant
        self.closed = False
        self._computing = False
        self._memory = memory
        self._timing = timing
        self._inputs: list[Tensor | None] = [None] * count
        self._leases: list[Lease | None] = [None] * count
        self._outputs: Outputs | None = None
        self._outputs_size = 0

    # --- inputs -------------------------------------------------------------------------------------------

    def index_of(self, name: str) -> int:
        """Find an input by the model's name for it, or by its decimal index. Raises InvalidArgument."""
        inputs = self.graph.signature.inputs
        for index, spec in enumerate(inputs):
            if spec.name == name:
                return index
        if name.isascii() and name.isdigit() and len(name) <= 4 and int(name) < len(inputs):
            return int(name)
        raise InvalidArgument(
            f'the model "{self.graph.name}" has no input "{name[:80]}"',
            cause=f"its inputs are {_listed(inputs)}",
            remedy="give one of these names, or an index in this order",
        )

    def check_input(
        self, index: int, type_: TensorType, dims: Sequence[int], length: int, data: Buffer | None = None
    ) -> TensorSpec:
        """Hold a tensor of `length` bytes against input `index`; `data` is looked at only to explain what
        does not fit. Raises InvalidArgument, InvalidTensor.
        """
        inputs = self.graph.signature.inputs
        if not 0 <= index < len(inputs):
            raise InvalidArgument(
                f'the model "{self.graph.name}" has no input {index}',
                cause=f"its inputs, from index 0, are {_listed(inputs)}",
                remedy=f"give an index from 0 to {len(inputs) - 1}",
            )
        spec = inputs[index]
        validation.check(spec, type_, dims, length, data)
        return spec

    def set_input(self, index: int, type_: TensorType, dims: tuple[int, ...], data: Buffer) -> None:
        """Take a snapshot of an input; it stays set for every computation until it is replaced.

        Raises InvalidArgument, InvalidTensor, TooLarge.
        """
        length = len(data)
        spec = self.check_input(index, type_, dims, length, data)
        if spec.type is TensorType.BOOL:
            validation.check_bools(spec, data)
        lease = self._leases[index]
        if lease is None or len(lease.view) != length:
            if lease is not None:
                self._drop_input(index)
            self._memory.take(length + TENSOR_COST)
            try:
                lease = self.graph.backend.lease(length)
            except BaseException:
                self._memory.free(length + TENSOR_COST)
                raise
            self._leases[index] = lease
        lease.view[:] = data
        self._inputs[index] = Tensor(spec.type, dims, lease.view)

    def _drop_input(self, index: int) -> None:
        lease = self._leases[index]
        if lease is not None:
            self._leases[index] = self._inputs[index] = None
            size = len(lease.view) + TENSOR_COST
            lease.release()
            self._memory.free(size)

    # --- computation --------------------------------------------------------------------------------------

    async def compute(self) -> None:
        """Run the graph on the inputs that are set; the outputs of the computation before are dropped.

        Raises InvalidArgument when an input is missing, InvalidTensor, TooLarge for the outputs, and whatever
        `Backend.infer` raises.
        """
        inputs = self._ready()
        self.drop_outputs()
        timing = self._timing
        started = perf_counter_ns()
        self._computing = True
        try:
            deadline = asyncio.get_running_loop().time() + self.graph.deadline
            outputs = await self.graph.backend.infer(inputs, deadline, self.tenant)
        finally:
            self._computing = False
            timing.count += 1
            timing.waited_ns += perf_counter_ns() - started
            if self.closed:
                self._drop_inputs()
        if self.closed:
            outputs.release()
            return
        timing.queue_ns += outputs.queue_ns
        timing.compute_ns += outputs.compute_ns
        stand_in = getattr(outputs, "stand_in", None)
        if stand_in is not None:
            timing.stand_ins.append(stand_in)
        size = sum(len(tensor.data) + TENSOR_COST for tensor in outputs.tensors)
        try:
            self._memory.take(size)
        except TooLarge:
            outputs.release()
            raise
        self._outputs, self._outputs_size = outputs, size

    async def infer(self, inputs: Sequence[tuple[str, Tensor]]) -> tuple[tuple[str, Tensor], ...]:
        """Compute with exactly these inputs, by name; all outputs, by name. Raises as `compute` does."""
        given: dict[int, Tensor] = {}
        for name, tensor in inputs:
            index = self.index_of(name)
            if index in given:
                raise InvalidArgument(f'input "{name[:80]}" is given twice')
            given[index] = tensor
        for index in range(len(self._inputs)):
            found = given.get(index)
            if found is None:
                self._inputs[index] = None
            else:
                self.set_input(index, found.type, found.dims, found.data)
        await self.compute()
        return self.outputs()

    def _ready(self) -> tuple[Tensor, ...]:
        inputs = tuple(tensor for tensor in self._inputs if tensor is not None)
        signature = self.graph.signature
        if len(inputs) != len(self._inputs):
            missing = [
                f"{index} ({spec.name}: {spec})"
                for index, spec in enumerate(signature.inputs)
                if self._inputs[index] is None
            ]
            raise InvalidArgument(
                f'compute of "{self.graph.name}" without input {", ".join(missing[:8])}',
                cause=f"{len(inputs)} of {len(self._inputs)} inputs are set",
                remedy="call set_input for each of them before compute",
            )
        if len(inputs) > 1:
            validation.check_symbols(signature, inputs)
        return inputs

    # --- outputs ------------------------------------------------------------------------------------------

    def output(self, index: int) -> Tensor:
        """An output of the last computation; its data is valid until the next one. Raises InvalidArgument."""
        outputs = self._outputs
        if outputs is None:
            raise InvalidArgument(
                f'output {index} of "{self.graph.name}" is not there yet',
                cause="no computation of this context has succeeded since its inputs were set",
                remedy="call compute first, and look at its result",
            )
        if not 0 <= index < len(outputs.tensors):
            raise InvalidArgument(
                f'the model "{self.graph.name}" has no output {index}',
                cause=f"its outputs, from index 0, are {_listed(self.graph.signature.outputs)}",
                remedy=f"give an index from 0 to {len(outputs.tensors) - 1}",
            )
        return outputs.tensors[index]

    def outputs(self) -> tuple[tuple[str, Tensor], ...]:
        """All outputs of the last computation by their names. Raises InvalidArgument."""
        self.output(0)
        assert self._outputs is not None
        specs = self.graph.signature.outputs
        return tuple((spec.name, tensor) for spec, tensor in zip(specs, self._outputs.tensors, strict=True))

    def drop_outputs(self) -> None:
        """Give the memory of the last computation's outputs back."""
        outputs, self._outputs = self._outputs, None
        if outputs is not None:
            outputs.release()
            self._memory.free(self._outputs_size)

    def close(self) -> None:
        """Give all memory back; what a computation under way reads, and its outputs, when it ends."""
        self.closed = True
        self.drop_outputs()
        if not self._computing:
            self._drop_inputs()

    def _drop_inputs(self) -> None:
        for index in range(len(self._leases)):
            self._drop_input(index)


def _listed(specs: Sequence[TensorSpec]) -> str:
    shown = ", ".join(f"{spec.name} ({spec})" for spec in specs[:16])
    return shown + (f" and {len(specs) - 16} more" if len(specs) > 16 else "") or "none"
