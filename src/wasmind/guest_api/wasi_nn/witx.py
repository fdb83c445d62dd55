"""wasi-nn's core ABI (wasi-nn.witx of WebAssembly/wasi-nn), import module `wasi_ephemeral_nn`.

Every function answers an errno, and none traps the guest. Since an errno is all that a guest sees, what it
means is explained in the function's log. WasmEdge's additions are here too: `load_by_name_with_config`,
`unload`, `finalize_execution_context`, and for language models `compute_single`, `get_output_single` and
`fini_single`.
"""

from __future__ import annotations

from collections.abc import Awaitable
from struct import Struct
from typing import TYPE_CHECKING

import msgspec

from wasmind.errors import (
    EndOfSequence,
    GuestError,
    InvalidArgument,
    InvalidEncoding,
    MemoryFault,
    NnCode,
    TooLarge,
    WasmindError,
)
from wasmind.nn import validation
from wasmind.nn.encoding import Encoding, Target
from wasmind.nn.session import MAX_BUILDERS, MAX_NAME
from wasmind.nn.tensor import MAX_RANK, TensorType
from wasmind.sandbox import U32, Interface

if TYPE_CHECKING:
    from wasmind.guest_api.host import CommandHost
    from wasmind.nn.context import ExecutionContext
    from wasmind.sandbox import Guest

SUCCESS = 0
ERRNO: dict[NnCode, int] = {
    NnCode.INVALID_ARGUMENT: 1,
    NnCode.INVALID_ENCODING: 2,
    NnCode.MISSING_MEMORY: 3,
    NnCode.BUSY: 4,
    NnCode.TIMEOUT: 5,
    NnCode.RUNTIME_ERROR: 5,
    NnCode.UNKNOWN: 5,
    NnCode.UNSUPPORTED_OPERATION: 6,
    NnCode.SECURITY: 6,
    NnCode.TOO_LARGE: 7,
    NnCode.NOT_FOUND: 8,
    NnCode.END_OF_SEQUENCE: 100,
    NnCode.CONTEXT_FULL: 101,
    NnCode.PROMPT_TOO_LONG: 102,
}
"""WITX's numbers (`$nn_errno`); it has no code for a time-out. The last three are WasmEdge's."""

TYPES = (TensorType.F16, TensorType.F32, TensorType.F64, TensorType.U8, TensorType.I32, TensorType.I64)
"""`$tensor_type`: not the numbers of WIT."""

ENCODINGS = (
    Encoding.OPENVINO,
    Encoding.ONNX,
    Encoding.TENSORFLOW,
    Encoding.PYTORCH,
    Encoding.TENSORFLOWLITE,
    Encoding.AUTODETECT,
    Encoding.AUTODETECT,
)
"""`$graph_encoding`. Hosts disagree whether 5 or 6 is autodetect, and the other one GGML: the bytes tell."""

TARGETS = (Target.CPU, Target.GPU, Target.TPU)

MAX_CONFIG = 64 << 10
"""Bytes of the JSON that `load_by_name_with_config` takes."""

_TENSOR = Struct("<IIB3xII")  # dims_ptr, dims_len, type (one byte, three of padding), data_ptr, data_len
_DIMS = tuple(Struct(f"<{rank}I") for rank in range(MAX_RANK + 1))
_BUILDERS = tuple(Struct(f"<{2 * count}I") for count in range(MAX_BUILDERS + 1))

nn = Interface("wasi_ephemeral_nn")


# --- graphs -----------------------------------------------------------------------------------------------


@nn.function("load", suspends=True)
def load(
    guest: Guest[CommandHost], builders: U32, count: U32, encoding: U32, target: U32, out: U32
) -> U32 | Awaitable[U32]:
    """Load a graph from `count` builders, each a pointer and a length, if the function's policy allows it."""
    try:
        return load_builders(guest, builders, count, encoding, target, out)
    except WasmindError as error:
        return errno(guest, "load", error)


def load_builders(
    guest: Guest[CommandHost], builders: int, count: int, encoding: int, target: int, out: int
) -> Awaitable[int]:
    """Check everything, copy the builders, and load. Raises whatever `Session` refuses."""
    if encoding >= len(ENCODINGS):
        raise InvalidEncoding(
            f"there is no graph encoding {encoding}", remedy="give 0 to 4, or 5 to have the bytes looked at"
        )
    if target >= len(TARGETS):
        raise InvalidArgument(
            f"there is no execution target {target}", remedy="give 0 (cpu), 1 (gpu) or 2 (tpu)"
        )
    memory, session = guest.memory, guest.host.nn
    memory.view(out, 4)
    memory.view(builders, 8 * count)
    pairs = memory.unpack(_BUILDERS[count], builders) if count <= MAX_BUILDERS else ()
    parts = list(zip(pairs[::2], pairs[1::2], strict=True))
    for pointer, length in parts:
        memory.view(pointer, length)
    session.check_load(count, sum(length for _, length in parts))
    copies = tuple(memory.read(pointer, length) for pointer, length in parts)
    guest.host.about_to_wait()
    return _handed(guest, "load", session.load(copies, ENCODINGS[encoding], TARGETS[target]), out)


@nn.function("load_by_name", suspends=True)
def load_by_name(guest: Guest[CommandHost], name: U32, length: U32, out: U32) -> U32 | Awaitable[U32]:
    """Find a named model that the function may use."""
    try:
        memory = guest.memory
        memory.view(out, 4)
        text = memory.view(name, length)[: MAX_NAME + 1]
        handle = guest.host.nn.load_by_name(text)
        if isinstance(handle, int):
            memory.set_u32(out, handle)
            return SUCCESS
        guest.host.about_to_wait()
        return _handed(guest, "load_by_name", handle, out)
    except WasmindError as error:
        return errno(guest, "load_by_name", error)


@nn.function("load_by_name_with_config", suspends=True)
def load_by_name_with_config(
    guest: Guest[CommandHost], name: U32, length: U32, config: U32, config_length: U32, out: U32
) -> U32 | Awaitable[U32]:
    """WasmEdge's `load_by_name` with settings as a JSON object.

    A language model takes them as its options. How another model runs is its operator's choice and shared by
    all who use it, so the settings change nothing; the function's log says so. What is no JSON object is
    refused.
    """
    try:
        settings = _settings(guest, config, config_length)
        memory = guest.memory
        memory.view(out, 4)
        handle = guest.host.nn.load_by_name(memory.view(name, length)[: MAX_NAME + 1])
        if isinstance(handle, int):
            _configure(guest, handle, settings)
            memory.set_u32(out, handle)
            return SUCCESS
    except WasmindError as error:
        return errno(guest, "load_by_name_with_config", error)
    guest.host.about_to_wait()
    return _handed(guest, "load_by_name_with_config", _configured(guest, handle, settings), out)


async def _configured(guest: Guest[CommandHost], handle: Awaitable[int], settings: bytes) -> int:
    found = await handle
    _configure(guest, found, settings)
    return found


def _configure(guest: Guest[CommandHost], graph: int, settings: bytes) -> None:
    if not guest.host.nn.configure(graph, settings):
        names = sorted(msgspec.json.decode(settings, type=dict[str, object]))
        guest.host.note(
            f"load_by_name_with_config: the settings {', '.join(names[:16])} have no effect: "
            "a named model runs as the platform configured it"
        )


def _settings(guest: Guest[CommandHost], config: int, length: int) -> bytes:
    """A copy of a configuration; empty when nothing is set. Raises MemoryFault, TooLarge, InvalidArgument."""
    memory = guest.memory
    memory.view(config, length)
    if length > MAX_CONFIG:
        raise TooLarge(f"a configuration of {length} bytes", cause=f"at most {MAX_CONFIG} are read")
    if not length:
        return b""
    text = bytes(memory.read(config, length))
    try:
        settings = msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArgument(
            "the configuration is no JSON object",
            cause=str(error),
            remedy='give an object, such as {} or {"ctx-size": 512}',
        ) from error
    return text if settings else b""


@nn.function("unload")
def unload(guest: Guest[CommandHost], graph: U32) -> U32:
    """WasmEdge's way to give a graph's handle back; the model itself stays loaded for others."""
    try:
        guest.host.nn.drop_graph(graph)
    except WasmindError as error:
        return errno(guest, "unload", error)
    return SUCCESS


# --- execution contexts -----------------------------------------------------------------------------------


@nn.function("init_execution_context")
def init_execution_context(guest: Guest[CommandHost], graph: U32, out: U32) -> U32:
    """Make a context for computing a graph."""
    try:
        memory = guest.memory
        memory.view(out, 4)
        memory.set_u32(out, guest.host.nn.init_execution_context(graph))
    except WasmindError as error:
        return errno(guest, "init_execution_context", error)
    return SUCCESS


@nn.function("finalize_execution_context")
def finalize_execution_context(guest: Guest[CommandHost], context: U32) -> U32:
    """WasmEdge's way to give a context back, with its tensors."""
    try:
        guest.host.nn.drop_context(context)
    except WasmindError as error:
        return errno(guest, "finalize_execution_context", error)
    return SUCCESS


@nn.function("set_input")
def set_input(guest: Guest[CommandHost], context: U32, index: U32, tensor: U32) -> U32:
    """Copy a tensor in as input `index`; `tensor` points to its record of 20 bytes."""
    try:
        found = guest.host.nn.context(context)
        memory = guest.memory
        dims, rank, type_, data, length = memory.unpack(_TENSOR, tensor)
        validation.check_rank(rank)
        shape = memory.unpack(_DIMS[rank], dims)
        found.set_input(index, tensor_type(type_, TYPES), shape, memory.view(data, length))
    except WasmindError as error:
        return errno(guest, "set_input", error)
    return SUCCESS


@nn.function("compute", suspends=True)
def compute(guest: Guest[CommandHost], context: U32) -> U32 | Awaitable[U32]:
    """Run the graph; the guest waits, its host does not."""
    try:
        found = guest.host.nn.context(context)
    except WasmindError as error:
        return errno(guest, "compute", error)
    guest.host.about_to_wait()
    return _computed(guest, found)


async def _computed(guest: Guest[CommandHost], context: ExecutionContext) -> int:
    timing = guest.host.nn.timing
    before = timing.waited_ns
    try:
        await context.compute()
    except WasmindError as error:
        return errno(guest, "compute", error)
    finally:
        guest.figures.inference_ns += timing.waited_ns - before
    return SUCCESS


@nn.function("compute_single", suspends=True)
def compute_single(guest: Guest[CommandHost], context: U32) -> U32 | Awaitable[U32]:
    """WasmEdge's way to have a language model write one more token; the guest waits, its host does not.

    100 says that the text has ended, 101 that the context is full, 102 that the prompt alone is too long.
    """
    try:
        found = guest.host.nn.context(context)
    except WasmindError as error:
        return errno(guest, "compute_single", error)
    guest.host.about_to_wait()
    return _stepped(guest, found)


async def _stepped(guest: Guest[CommandHost], context: ExecutionContext) -> int:
    timing = guest.host.nn.timing
    before = timing.waited_ns
    try:
        await context.compute_single()
    except EndOfSequence as error:
        return ERRNO[error.nn_code]  # nothing went wrong, so there is nothing to explain
    except WasmindError as error:
        return errno(guest, "compute_single", error)
    finally:
        guest.figures.inference_ns += timing.waited_ns - before
    return SUCCESS


@nn.function("fini_single")
def fini_single(guest: Guest[CommandHost], context: U32) -> U32:
    """WasmEdge's way to end a text; the next `compute_single` begins another one on the same inputs."""
    try:
        found = guest.host.nn.context(context)
        found.end_steps()
        found.drop_outputs()
    except WasmindError as error:
        return errno(guest, "fini_single", error)
    return SUCCESS


@nn.function("get_output")
def get_output(
    guest: Guest[CommandHost], context: U32, index: U32, buffer: U32, size: U32, written: U32
) -> U32:
    """Copy output `index` into a buffer of `size` bytes; `written` gets its length, also when the buffer is
    too small.
    """
    try:
        return copy_output(guest, context, index, buffer, size, written)
    except WasmindError as error:
        return errno(guest, "get_output", error)


@nn.function("get_output_single")
def get_output_single(
    guest: Guest[CommandHost], context: U32, index: U32, buffer: U32, size: U32, written: U32
) -> U32:
    """Copy what the last `compute_single` gave: 0 is the text's next bytes, 1 is usage as JSON."""
    try:
        return copy_output(guest, context, index, buffer, size, written)
    except WasmindError as error:
        return errno(guest, "get_output_single", error)


def copy_output(
    guest: Guest[CommandHost], context: int, index: int, buffer: int, size: int, written: int
) -> int:
    """Copy an output, or tell its length. Raises what `ExecutionContext.output` refuses, MemoryFault,
    TooLarge.
    """
    memory = guest.memory
    data = guest.host.nn.context(context).output(index).data
    target = memory.view(buffer, size)
    memory.set_u32(written, len(data))
    if len(data) > size:
        raise TooLarge(
            f"output {index} takes {len(data)} bytes, and the buffer has {size}",
            remedy="the needed size is in *written: give a buffer that large",
        )
    target[: len(data)] = data
    return SUCCESS


# --- shared by the module names ---------------------------------------------------------------------------


async def _handed(guest: Guest[CommandHost], name: str, handle: Awaitable[int], out: int) -> int:
    """Wait for a handle and write it to `out`, which was checked."""
    try:
        guest.memory.set_u32(out, await handle)
    except WasmindError as error:
        return errno(guest, name, error)
    return SUCCESS


def tensor_type(number: int, types: tuple[TensorType, ...]) -> TensorType:
    """Read an element type by its ABI's numbers. Raises InvalidArgument."""
    if number >= len(types):
        numbered = ", ".join(f"{at} {kind}" for at, kind in enumerate(types))
        raise InvalidArgument(f"there is no tensor type {number}", remedy=f"the types are {numbered}")
    return types[number]


def errno(guest: Guest[CommandHost], name: str, error: WasmindError) -> int:
    """Turn an error into its number, and explain it in the function's log.

    Raises the error again when it is the guest's end (its own budget or deadline), which no errno stands for.
    """
    if isinstance(error, GuestError) and not isinstance(error, MemoryFault):
        raise error
    number = ERRNO[error.nn_code]
    guest.host.explain(f"wasi-nn {name}", number, error)
    return number
