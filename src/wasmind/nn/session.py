"""One guest's wasi-nn state: its graphs and execution contexts by handle, within its limits."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from wasmind.config import Limits
from wasmind.errors import InvalidArgument, InvalidEncoding, TooLarge, UnsupportedOperation
from wasmind.nn import encoding as encodings
from wasmind.nn.context import ExecutionContext, Timing
from wasmind.nn.encoding import Encoding, Target
from wasmind.nn.graph import Graph, Models
from wasmind.nn.memory import TENSOR_COST, Memory
from wasmind.nn.tensor import Buffer, Tensor, TensorType
from wasmind.nn.validation import check_rank

MAX_NAME = 256
"""Bytes of a model's name; no model has a longer one."""

MAX_BUILDERS = 2
"""OpenVINO takes two (its XML, then its weights), GGML may have its options as the second, every other
encoding takes one."""

MAX_TENSORS = 4096
"""Tensors that a guest may hold at once, however small."""

CONFIG = "config"
"""The input, of models that have one, which `configure` sets."""

_FIRST = 1 << 30
Resource = TypeVar("Resource", Graph, ExecutionContext, Tensor)


class Session:
    """Graphs, contexts and tensors of one guest.

    A handle is a number that begins at a random place and is never given twice, so a stale one, a guessed one
    and another guest's resolve to nothing. Handles fit 31 bits and are never 0. `close` frees everything.
    """

    __slots__ = (
        "_configs",
        "_contexts",
        "_graphs",
        "_held",
        "_limits",
        "_memory",
        "_models",
        "_next",
        "_tenant",
        "_tensors",
        "pending",
        "timing",
    )

    def __init__(self, models: Models, limits: Limits, tenant: str) -> None:
        self._models = models
        self._limits = limits
        self._tenant = tenant
        self._graphs: dict[int, Graph] = {}
        self._configs: dict[int, bytes] = {}
        self._contexts: dict[int, ExecutionContext] = {}
        self._tensors: dict[int, Tensor] = {}
        self.pending = 0
        """Computations that were started and are not waited for yet."""
        self._memory = Memory(limits.nn_memory)
        self._held = 0
        self._next = 0
        self.timing = Timing()

    # --- graphs -------------------------------------------------------------------------------------------

    def load_by_name(self, name: Buffer | str) -> int | Awaitable[int]:
        """A handle of a named model, or an awaitable of it while the model must be waited for.

        Bytes that are no name (not UTF-8, with NUL, too long) are a name that does not exist.
        Raises ModelNotFound, ModelUnavailable, TooLarge when there are too many graphs.
        """
        self._room(self._graphs, self._limits.nn_contexts, "graphs")
        found = self._models.resolve(_name(name))
        return self._named(found) if not isinstance(found, Graph) else self._add(self._graphs, found)

    async def _named(self, found: Awaitable[Graph]) -> int:
        return self._add(self._graphs, await found)

    def configure(self, handle: int, settings: bytes) -> bool:
        """Let contexts of a graph begin with settings, a JSON object; empty is none.

        False if its model takes none: one that does has an input for them. Raises InvalidArgument.
        """
        if not settings:
            return True
        inputs = self.graph(handle).signature.inputs
        if not any(spec.name == CONFIG and spec.optional for spec in inputs):
            return False
        self._configs[handle] = settings
        return True

    def check_load(self, count: int, size: int) -> None:
        """Whether `count` builders of `size` bytes together may be loaded at all, before a byte of them is
        copied.

        Raises UnsupportedOperation by policy, InvalidArgument, TooLarge.
        """
        if not self._models.allow_load:
            raise UnsupportedOperation(
                "this function may not load a model from bytes",
                cause="its configuration does not allow it (allow_load)",
                remedy="use load_by_name with a model of the platform, or set allow_load = true",
            )
        if not 1 <= count <= MAX_BUILDERS:
            raise InvalidArgument(
                f"{count} builders", cause="OpenVINO takes two, every other encoding takes one"
            )
        if size > self._limits.load_size:
            raise TooLarge(
                f"a model of {size} bytes",
                cause=f"a function may load {self._limits.load_size} bytes at most",
                remedy="use load_by_name with a model of the platform, or raise limits.load_size",
            )
        self._room(self._graphs, self._limits.nn_contexts, "graphs")

    async def load(self, builders: tuple[bytes, ...], encoding: Encoding, target: Target) -> int:
        """A handle of a model from its bytes; `check_load` has passed.

        Raises InvalidEncoding, UnsupportedOperation, ModelLoadFailed, ModelUnavailable, TooLarge.
        """
        if encoding is Encoding.AUTODETECT:
            encoding = encodings.detected(builders[0])
        config = b""
        if len(builders) == 2 and encoding is Encoding.GGML:
            builders, config = (builders[0],), builders[-1]  # as WasmEdge takes them
        if len(builders) != 1 and encoding is not Encoding.OPENVINO:
            raise InvalidArgument(
                f"{len(builders)} builders for {encoding}",
                cause="OpenVINO takes two, every other encoding takes one",
            )
        if encoding not in (Encoding.OPENVINO, encodings.sniff(builders[0])):
            raise InvalidEncoding(
                f"these bytes are not {encoding}",
                cause=f"they look like {encodings.sniff(builders[0]) or 'nothing that is known here'}",
                remedy="name the encoding they have, or autodetect",
            )
        handle = self._add(self._graphs, await self._models.load(builders, encoding, target))
        self.configure(handle, config)
        return handle

    def graph(self, handle: int) -> Graph:
        """Resolve a graph's handle. Raises InvalidArgument."""
        found = self._graphs.get(handle)
        if found is None:
            raise _no_such("graph", handle)
        return found

    def drop_graph(self, handle: int) -> None:
        """Give a graph back; contexts of it go on. Raises InvalidArgument."""
        self.graph(handle)
        del self._graphs[handle]
        self._configs.pop(handle, None)

    # --- contexts -----------------------------------------------------------------------------------------

    def init_execution_context(self, graph: int) -> int:
        """A handle of a new context. Raises InvalidArgument, TooLarge, ModelUnavailable."""
        found = self.graph(graph)
        self._room(self._contexts, self._limits.nn_contexts, "execution contexts")
        made = ExecutionContext(found, self._memory, self.timing, self._tenant)
        config = self._configs.get(graph)
        if config is not None:
            made.set_input(made.index_of(CONFIG), TensorType.U8, (len(config),), config)
        return self._add(self._contexts, made)

    def context(self, handle: int) -> ExecutionContext:
        """Resolve a context's handle. Raises InvalidArgument."""
        found = self._contexts.get(handle)
        if found is None:
            raise _no_such("execution context", handle)
        return found

    def drop_context(self, handle: int) -> None:
        """Close a context and free its tensors. Raises InvalidArgument."""
        self.context(handle).close()
        del self._contexts[handle]

    # --- tensors that are held by themselves, and contexts that are computed with them ---------------------

    def new_tensor(self, type_: TensorType, dims: tuple[int, ...], data: Buffer) -> int:
        """A handle of a copy of a tensor as the guest describes it; `compute` holds it against the model.

        Raises InvalidTensor for an absurd rank, TooLarge.
        """
        check_rank(len(dims))
        return self._keep(type_, dims, data)

    def tensor(self, handle: int) -> Tensor:
        """Resolve a tensor's handle. Raises InvalidArgument."""
        found = self._tensors.get(handle)
        if found is None:
            raise _no_such("tensor", handle)
        return found

    def drop_tensor(self, handle: int) -> None:
        """Free a tensor. Raises InvalidArgument."""
        size = len(self.tensor(handle).data) + TENSOR_COST
        del self._tensors[handle]
        self._memory.free(size)

    def give_back(self, handle: int) -> None:
        """Free a tensor that a computation has taken, unless the session was closed meanwhile."""
        if handle in self._tensors:
            self.drop_tensor(handle)

    async def compute(self, context: int, inputs: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
        """Compute with tensors by the names of inputs; new tensors by the names of outputs.

        Raises InvalidArgument, and whatever `ExecutionContext.compute` raises.
        """
        found = self.context(context)
        given = [(name, self.tensor(handle)) for name, handle in inputs]
        outputs = await found.infer(given)
        made: list[tuple[str, int]] = []
        try:
            for name, tensor in outputs:
                made.append((name, self._keep(tensor.type, tensor.dims, tensor.data)))
        except TooLarge:
            for _, handle in made:
                self.drop_tensor(handle)
            raise
        finally:
            found.drop_outputs()
        return made

    def _keep(self, type_: TensorType, dims: tuple[int, ...], data: Buffer) -> int:
        self._room(self._tensors, MAX_TENSORS, "tensors")
        self._memory.take(len(data) + TENSOR_COST)
        return self._add(self._tensors, Tensor(type_, dims, bytes(data)))

    # --- memory beside tensors ------------------------------------------------------------------------------

    def hold(self, size: int) -> None:
        """Count bytes that the host keeps for the guest, as messages that carry tensors. Raises TooLarge."""
        self._memory.take(size)
        self._held += size

    def let_go(self, size: int) -> None:
        """Count them no more; what `close` has freed already is not freed again."""
        size = min(size, self._held)
        self._held -= size
        self._memory.free(size)

    # --- all of it ----------------------------------------------------------------------------------------

    @property
    def memory_used(self) -> int:
        """Bytes of the guest's tensors on the host."""
        return self._memory.used

    def close(self) -> None:
        """Free everything; no handle resolves any more. Closing twice is harmless."""
        if not (self._next or self._held):
            return  # it was never used, as in most requests of functions without models
        for context in self._contexts.values():
            context.close()
        for handle in list(self._tensors):
            self.drop_tensor(handle)
        self._contexts.clear()
        self._graphs.clear()
        self.let_go(self._held)

    def _room(self, held: dict[int, Resource], limit: int, what: str) -> None:
        if len(held) >= limit:
            raise TooLarge(
                f"more than {limit} {what}",
                cause=f"a function may hold {limit} at once",
                remedy="give back those that are done with, or reuse them",
            )

    def _add(self, held: dict[int, Resource], value: Resource) -> int:
        if not self._next:
            self._next = 1 + int.from_bytes(os.urandom(4), "little") % _FIRST
        handle = self._next
        self._next = handle + 1
        held[handle] = value
        return handle


def _name(name: Buffer | str) -> str:
    """Read a name as text, whatever it is: what is no name stays something that no model is called."""
    return name if isinstance(name, str) else bytes(name[: MAX_NAME + 1]).decode("utf-8", "replace")


def _no_such(kind: str, handle: int) -> InvalidArgument:
    return InvalidArgument(
        f"{handle} is no {kind} of this guest",
        cause="a handle is valid in its own guest, from the call that gave it until it is given back",
        remedy="check the errno of the call that should have given it",
    )
