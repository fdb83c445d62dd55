"""Execution contexts: the inputs of one computation, and its outputs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from time import perf_counter_ns
from typing import TypeAlias

import msgspec

from wasmind.errors import (
    ContextFull,
    EndOfSequence,
    InvalidArgument,
    ModelBusy,
    ModelUnavailable,
    TooLarge,
    UnsupportedOperation,
)
from wasmind.nn import validation
from wasmind.nn.backend import Generation, Lease, Outputs
from wasmind.nn.gathered import Gathered
from wasmind.nn.graph import Graph
from wasmind.nn.memory import TENSOR_COST, Memory
from wasmind.nn.signature import TensorSpec
from wasmind.nn.tensor import Buffer, Tensor, TensorType

Infer: TypeAlias = Callable[[tuple[Tensor, ...], float, str], Awaitable[Outputs]]


class Timing(msgspec.Struct):
    """Where a guest's inference time went, in nanoseconds."""

    count: int = 0
    waited_ns: int = 0
    """From `compute` to its outputs, as the guest saw it; failed computations count too."""
    queue_ns: int = 0
    compute_ns: int = 0
    refusal: ModelBusy | ModelUnavailable | None = None
    """Why the last computation was not taken on, if it was not."""
    stand_ins: list[str] = []
    """Which models others stood in for, in words."""


class _Streams(msgspec.Struct):
    stream: bool = False


_streams = msgspec.json.Decoder(_Streams)


class ExecutionContext:
    """Inputs and outputs of a graph for one guest. Only its `Session` makes one."""

    __slots__ = (
        "_computing",
        "_generation",
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
        self._generation: Generation | None = None
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
        if self._generation is not None:
            self.end_steps()

    def _drop_input(self, index: int) -> None:
        lease = self._leases[index]
        if lease is not None:
            self._leases[index] = self._inputs[index] = None
            size = len(lease.view) + TENSOR_COST
            lease.release()
            self._memory.free(size)

    # --- computation --------------------------------------------------------------------------------------

    def compute(self) -> Coroutine[None, None, None]:
        """Run the graph on the inputs that are set; the outputs of the computation before are dropped.

        Raises InvalidArgument when an input is missing, InvalidTensor, TooLarge for the outputs, and whatever
        `Backend.infer` raises; of a model that goes step by step also ContextFull, with the outputs there.
        """
        if self.graph.signature.steps:
            return self._compute_steps()
        inputs = self._ready()
        self.drop_outputs()
        return self._compute(inputs, self.graph.backend.infer)

    async def compute_single(self) -> None:
        """Take the next step of a model that goes step by step, the first on the inputs that are set.

        Its outputs take the place of those of the step before. Raises EndOfSequence or ContextFull after the
        last step, when its outputs are still there; UnsupportedOperation for another model; and as `compute`
        does. Whatever it raises, the next one begins anew.
        """
        if not self.graph.signature.steps:
            raise UnsupportedOperation(
                f'the model "{self.graph.name}" gives its outputs at once', remedy="call compute instead"
            )
        await self._step(asyncio.get_running_loop().time() + self.graph.deadline)

    def end_steps(self) -> None:
        """Forget the steps taken: the next one begins anew. The last outputs stay."""
        generation, self._generation = self._generation, None
        if generation is not None:
            generation.close()

    async def _step(self, deadline: float) -> None:
        inputs: tuple[Tensor, ...] = ()
        if self._generation is None:
            inputs = self._ready()
            self._generation = self.graph.backend.generation()
        try:
            await self._compute(inputs, self._generation.step, deadline)
        except BaseException:
            self.end_steps()
            raise

    async def _compute_steps(self) -> None:
        """Take all steps as one computation, so that those of others come between them."""
        self.end_steps()
        deadline = asyncio.get_running_loop().time() + self.graph.deadline
        gathered = Gathered(self._memory)
        full = None
        try:
            while not self.closed:
                await self._step(deadline)
                if self._outputs is not None:
                    gathered.add(self._outputs)
        except EndOfSequence:
            pass
        except ContextFull as error:
            full = error
        finally:
            self.end_steps()
            gathered.uncount()
        if self.closed:
            return
        gathered.join()
        self._keep(gathered)
        if full is not None:
            raise full

    async def _compute(self, inputs: tuple[Tensor, ...], infer: Infer, deadline: float = 0.0) -> None:
        timing = self._timing
        started = perf_counter_ns()
        self._computing = True
        try:
            deadline = deadline or asyncio.get_running_loop().time() + self.graph.deadline
            outputs = await infer(inputs, deadline, self.tenant)
            timing.refusal = None
        except (ModelBusy, ModelUnavailable) as refused:
            timing.refusal = refused.anew()
            raise
        finally:
            self._computing = False
            timing.count += 1
            timing.waited_ns += perf_counter_ns() - started
            if self.closed:
                self.end_steps()
                self._drop_inputs()
        timing.queue_ns += outputs.queue_ns
        timing.compute_ns += outputs.compute_ns
        stand_in = getattr(outputs, "stand_in", None)
        if stand_in is not None:
            timing.stand_ins.append(stand_in)
        self._keep(outputs)

    def _keep(self, outputs: Outputs) -> None:
        """Hold outputs until the next computation. Raises TooLarge."""
        if self.closed:
            outputs.release()
            return
        self.drop_outputs()
        size = sum(len(tensor.data) + TENSOR_COST for tensor in outputs.tensors)
        try:
            self._memory.take(size)
        except TooLarge:
            outputs.release()
            raise
        self._outputs, self._outputs_size = outputs, size

    async def infer(self, inputs: Sequence[tuple[str, Tensor]]) -> tuple[tuple[str, Tensor], ...]:
        """Compute with exactly these inputs, by name; all outputs, by name. Raises as `compute` does.

        Of a model that goes step by step it is the first step when the input `options` says `"stream": true`,
        and without any inputs the next one; then it raises as `compute_single` does.
        """
        if self._computing:
            raise InvalidArgument(
                f'a context of "{self.graph.name}" is computing already',
                remedy="wait for it, or make another context",
            )
        if self._generation is not None and not inputs:
            await self.compute_single()
            return self.outputs()
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
        if self.graph.signature.steps and self._is_streamed():
            await self.compute_single()
        else:
            await self.compute()
        return self.outputs()

    def _is_streamed(self) -> bool:
        options = self._inputs[self.index_of("options")]
        if options is None:
            return False
        try:
            return _streams.decode(options.data).stream
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False  # the model says what is wrong with it

    def _ready(self) -> tuple[Tensor, ...]:
        inputs = tuple(tensor for tensor in self._inputs if tensor is not None)
        signature = self.graph.signature
        if len(inputs) != len(self._inputs):
            inputs = tuple(
                tensor or Tensor(spec.type, (0,) * len(spec.dims or ()), b"")
                for tensor, spec in zip(self._inputs, signature.inputs, strict=True)
                if tensor is not None or spec.optional
            )
        if len(inputs) != len(self._inputs):
            missing = [
                f"{index} ({spec.name}: {spec})"
                for index, spec in enumerate(signature.inputs)
                if self._inputs[index] is None and not spec.optional
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
            self.end_steps()
            self._drop_inputs()

    def _drop_inputs(self) -> None:
        for index in range(len(self._leases)):
            self._drop_input(index)


def _listed(specs: Sequence[TensorSpec]) -> str:
    shown = ", ".join(f"{spec.name} ({spec})" for spec in specs[:16])
    return shown + (f" and {len(specs) - 16} more" if len(specs) > 16 else "") or "none"
