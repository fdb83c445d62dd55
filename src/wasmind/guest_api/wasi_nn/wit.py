"""wasi-nn as components import it: `wasi:nn@0.2.0-rc-2024-10-28` (wit/wasi-nn.wit of WebAssembly/wasi-nn).

An error has a code and words: `error.data()` says what happened, why, and what to do. A resource's
representation is its handle in the guest's `nn.Session`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from wasmind.component.abi.later import Later
from wasmind.component.abi.values import Err
from wasmind.component.interface import WitInterface
from wasmind.component.types import EnumType, List, Own, Primitive, Result, Tuple
from wasmind.errors import GuestError, NnCode, WasmindError
from wasmind.nn.encoding import Encoding, Target
from wasmind.nn.tensor import TensorType
from wasmind.nn.validation import CARRIERS

if TYPE_CHECKING:
    from wasmind.guest_api.wasi.p2.host import ComponentHost
    from wasmind.sandbox import Guest

VERSION = "0.2.0-rc-2024-10-28"

CODES: dict[NnCode, str] = {
    NnCode.MISSING_MEMORY: "invalid-argument",
    NnCode.BUSY: "runtime-error",
    NnCode.END_OF_SEQUENCE: "runtime-error",
    NnCode.CONTEXT_FULL: "too-large",
    NnCode.PROMPT_TOO_LONG: "too-large",
}
"""The codes that WIT does not have; all others are called there as they are here."""

TYPES: dict[str, TensorType] = {
    "FP16": TensorType.F16,
    "FP32": TensorType.F32,
    "FP64": TensorType.F64,
    "BF16": TensorType.BF16,
    "U8": TensorType.U8,
    "I32": TensorType.I32,
    "I64": TensorType.I64,
}
"""`tensor-type`: not the numbers of WITX."""

_OWN_NAMES = {kind: name for name, kind in TYPES.items()}
_NAMES = {kind: _OWN_NAMES[carrier] for kind, carrier in CARRIERS.items()} | _OWN_NAMES
"""How an output's type is called: those that WIT does not name go by the one that carries their bits."""

_STRING, _BYTES = Primitive.STRING, List(Primitive.U8)
_DIMENSIONS, _TYPE = List(Primitive.U32), EnumType(tuple(TYPES))
_ENCODING = EnumType(tuple(each.value for each in Encoding))
_TARGET = EnumType(tuple(each.value for each in Target))
_CODE = EnumType(
    (
        "invalid-argument",
        "invalid-encoding",
        "timeout",
        "runtime-error",
        "unsupported-operation",
        "too-large",
        "not-found",
        "security",
        "unknown",
    )
)
F = TypeVar("F", bound=Callable[..., Any])


def _drop_tensor(guest: Guest[ComponentHost], handle: int) -> None:
    guest.host.nn.drop_tensor(handle)


def _drop_graph(guest: Guest[ComponentHost], handle: int) -> None:
    guest.host.nn.drop_graph(handle)


def _drop_context(guest: Guest[ComponentHost], handle: int) -> None:
    guest.host.nn.drop_context(handle)


tensor = WitInterface(f"wasi:nn/tensor@{VERSION}")
graph = WitInterface(f"wasi:nn/graph@{VERSION}")
inference = WitInterface(f"wasi:nn/inference@{VERSION}")
errors = WitInterface(f"wasi:nn/errors@{VERSION}")
INTERFACES = (tensor, graph, inference, errors)

TENSOR = tensor.resource("tensor", _drop_tensor)
GRAPH = graph.resource("graph", _drop_graph)
CONTEXT = inference.resource("graph-execution-context", _drop_context)
ERROR = errors.resource("error")
NAMED = List(Tuple((_STRING, Own(TENSOR))))

# --- errors -----------------------------------------------------------------------------------------------


class Failure(NamedTuple):
    """An `error`."""

    code: str
    data: str


@errors.method(ERROR, "code", result=_CODE)
def code(_guest: Guest[ComponentHost], error: Failure) -> str:
    """Tell the kind of error."""
    return error.code


@errors.method(ERROR, "data", result=_STRING)
def data_of_error(_guest: Guest[ComponentHost], error: Failure) -> str:
    """Tell what happened, why, and what to do."""
    return error.data


def failure(error: WasmindError) -> Err[Failure]:
    """The guest's view of an error.

    Raises the error again when it is the guest's end (its own budget or deadline), which no code stands for.
    """
    if isinstance(error, GuestError):
        raise error
    return Err(Failure(CODES.get(error.nn_code, error.nn_code.value), error.explain()))


def _fallible(function: F) -> F:
    """Answer errors instead of raising them."""

    @wraps(function)
    def guarded(*arguments: Any) -> Any:
        try:
            answer = function(*arguments)
        except WasmindError as error:
            return failure(error)
        return _Awaited(answer, _same) if hasattr(answer, "__await__") else answer

    return guarded  # type: ignore[return-value]  # the same parameters


def _same(answer: Any) -> Any:
    return answer


class _Awaited(Later):
    """An answer that is waited for, with errors answered instead of raised."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            return (yield from super().__await__())
        except WasmindError as error:
            return failure(error)


# --- tensors ----------------------------------------------------------------------------------------------


@tensor.constructor(TENSOR, {"dimensions": _DIMENSIONS, "ty": _TYPE, "data": _BYTES})
def new_tensor(guest: Guest[ComponentHost], dimensions: Sequence[int], ty: str, data: bytes) -> int:
    """Take a tensor as the guest describes it: whether it fits a model is said when it is computed with.

    Raises InvalidTensor for a rank that nothing has, and TooLarge; WIT has no error here, so the guest ends.
    """
    return guest.host.nn.new_tensor(TYPES[ty], tuple(dimensions), data)


@tensor.method(TENSOR, "dimensions", result=_DIMENSIONS)
def dimensions(guest: Guest[ComponentHost], handle: int) -> tuple[int, ...]:
    """Tell its dimensions."""
    return guest.host.nn.tensor(handle).dims


@tensor.method(TENSOR, "ty", result=_TYPE)
def ty(guest: Guest[ComponentHost], handle: int) -> str:
    """Tell its element type."""
    return _NAMES[guest.host.nn.tensor(handle).type]


@tensor.method(TENSOR, "data", result=_BYTES)
def data_of_tensor(guest: Guest[ComponentHost], handle: int) -> object:
    """Give its elements."""
    return guest.host.nn.tensor(handle).data


# --- graphs -----------------------------------------------------------------------------------------------


@graph.function(
    "load",
    {"builder": List(_BYTES), "encoding": _ENCODING, "target": _TARGET},
    Result(Own(GRAPH), Own(ERROR)),
    suspends=True,
)
@_fallible
def load(guest: Guest[ComponentHost], builder: Sequence[bytes], encoding: str, target: str) -> Awaitable[int]:
    """Load a graph from its bytes, if the function's policy allows it."""
    session = guest.host.nn
    session.check_load(len(builder), sum(map(len, builder)))
    guest.host.about_to_wait()
    return session.load(tuple(builder), Encoding(encoding), Target(target))


@graph.function("load-by-name", {"name": _STRING}, Result(Own(GRAPH), Own(ERROR)), suspends=True)
@_fallible
def load_by_name(guest: Guest[ComponentHost], name: str) -> int | Awaitable[int]:
    """Find a named model that the function may use."""
    found = guest.host.nn.load_by_name(name)
    if not isinstance(found, int):
        guest.host.about_to_wait()
    return found


@graph.method(GRAPH, "init-execution-context", result=Result(Own(CONTEXT), Own(ERROR)))
@_fallible
def init_execution_context(guest: Guest[ComponentHost], handle: int) -> int:
    """Make a context for computing a graph."""
    return guest.host.nn.init_execution_context(handle)


# --- inference --------------------------------------------------------------------------------------------


@inference.method(CONTEXT, "compute", {"inputs": NAMED}, Result(NAMED, Own(ERROR)), suspends=True)
@_fallible
def compute(
    guest: Guest[ComponentHost], context: int, inputs: Sequence[tuple[str, int]]
) -> Awaitable[list[tuple[str, int]]]:
    """Compute with tensors by the names (or indices) of the model's inputs; the outputs by their names."""
    guest.host.about_to_wait()
    return _computed(guest, context, inputs)


async def _computed(
    guest: Guest[ComponentHost], context: int, inputs: Sequence[tuple[str, int]]
) -> list[tuple[str, int]]:
    session = guest.host.nn
    before = session.timing.waited_ns
    try:
        return await session.compute(context, inputs)
    finally:
        guest.figures.inference_ns += session.timing.waited_ns - before
        for _, handle in inputs:
            session.drop_tensor(handle)
