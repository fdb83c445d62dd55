"""Small TFLite models, made when they are needed."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

if TYPE_CHECKING:
    from collections.abc import Sequence

Op, Kind = schema.BuiltinOperator, schema.TensorType
FLOAT, I32, STRING, RESOURCE = Kind.FLOAT32, Kind.INT32, Kind.STRING, Kind.RESOURCE


class Tensor:
    """A tensor: its name, element type, dimensions (-1: open), constant value, whether it is a variable."""

    def __init__(
        self,
        name: str,
        dims: Sequence[int],
        kind: int = FLOAT,
        value: Any = None,
        *,
        variable: bool = False,
    ) -> None:
        self.name, self.dims, self.kind, self.value, self.variable = name, list(dims), kind, value, variable


Operator = tuple[int | str, "Sequence[str]", "Sequence[str]", tuple[int, Any] | None]
"""A builtin operator or a custom one's name, its inputs and outputs, and its options with their type."""


def model(
    tensors: Sequence[Tensor],
    operators: Sequence[Operator],
    inputs: Sequence[str],
    outputs: Sequence[str],
    signature: dict[str, str] | None = None,
) -> bytes:
    """A model's bytes; `signature` gives tensors other names, by their own."""
    made = schema.ModelT()
    made.version, made.description = 3, "made by a test"
    empty = schema.BufferT()
    made.buffers, graph = [empty], schema.SubGraphT()
    graph.name, graph.tensors, graph.operators, made.operatorCodes = "main", [], [], []
    places = {tensor.name: index for index, tensor in enumerate(tensors)}
    for tensor in tensors:
        graph.tensors.append(_tensor(made, tensor))
    for code, taken, given, options in operators:
        made.operatorCodes.append(_code(code))
        one = schema.OperatorT()
        one.opcodeIndex = len(made.operatorCodes) - 1
        one.inputs, one.outputs = [places[name] for name in taken], [places[name] for name in given]
        if options:
            one.builtinOptionsType, one.builtinOptions = options
        graph.operators.append(one)
    graph.inputs, graph.outputs = [places[name] for name in inputs], [places[name] for name in outputs]
    made.subgraphs = [graph]
    if signature:
        made.signatureDefs = [_signature(signature, places, inputs, outputs)]
    builder = flatbuffers.Builder(1024)
    builder.Finish(made.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tensor(made: Any, tensor: Tensor) -> Any:
    packed = schema.TensorT()
    packed.name, packed.type, packed.isVariable = tensor.name, tensor.kind, tensor.variable
    packed.shape = [abs(dim) for dim in tensor.dims]
    if any(dim < 0 for dim in tensor.dims):
        packed.shapeSignature = tensor.dims
    if tensor.value is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.asarray(tensor.value).tobytes(), np.uint8)
        made.buffers.append(buffer)
        packed.buffer = len(made.buffers) - 1
    else:
        packed.buffer = 0
    return packed


def _code(code: int | str) -> Any:
    packed = schema.OperatorCodeT()
    packed.version = 1
    if isinstance(code, str):
        packed.customCode, packed.builtinCode = code, Op.CUSTOM
    else:
        packed.builtinCode = code
    packed.deprecatedBuiltinCode = min(packed.builtinCode, 127)
    return packed


def _signature(
    names: dict[str, str], places: dict[str, int], inputs: Sequence[str], outputs: Sequence[str]
) -> Any:
    def maps(tensors: Sequence[str]) -> list[Any]:
        found = []
        for own in tensors:
            one = schema.TensorMapT()
            one.name, one.tensorIndex = names[own], places[own]
            found.append(one)
        return found

    made = schema.SignatureDefT()
    made.signatureKey, made.subgraphIndex = "serving_default", 0
    made.inputs, made.outputs = maps(inputs), maps(outputs)
    return made


def add_options() -> tuple[int, Any]:
    return schema.BuiltinOptions.AddOptions, schema.AddOptionsT()


def mul_options() -> tuple[int, Any]:
    return schema.BuiltinOptions.MulOptions, schema.MulOptionsT()


@cache
def linear(first: int = 1) -> bytes:
    """y = 2x + 1 for f32 [1,4]; a first dimension of -1 is open."""
    return model(
        [
            Tensor("x", [first, 4]),
            Tensor("two", [1], value=np.float32([2])),
            Tensor("one", [1], value=np.float32([1])),
            Tensor("twice", [first, 4]),
            Tensor("y", [first, 4]),
        ],
        [(Op.MUL, ["x", "two"], ["twice"], mul_options()), (Op.ADD, ["twice", "one"], ["y"], add_options())],
        ["x"],
        ["y"],
    )


@cache
def custom(name: str = "Evil") -> bytes:
    """A model with a custom operator."""
    return model([Tensor("x", [2]), Tensor("y", [2])], [(name, ["x"], ["y"], None)], ["x"], ["y"])


@cache
def tiled() -> bytes:
    """f32 [1,1] repeated as the guest says: i32 [2]."""
    return model(
        [Tensor("one", [1, 1], value=np.float32([[1]])), Tensor("times", [2], I32), Tensor("y", [-1, -1])],
        [(Op.TILE, ["one", "times"], ["y"], None)],
        ["times"],
        ["y"],
    )


@cache
def counter() -> bytes:
    """y = the sum of all x so far, kept in a resource variable, which begins at the first x."""
    handle = schema.VarHandleOptionsT()
    handle.container, handle.sharedName = "", "total"
    return model(
        [
            Tensor("x", [2]),
            Tensor("handle", [1], RESOURCE),
            Tensor("before", [2]),
            Tensor("y", [2]),
        ],
        [
            (Op.VAR_HANDLE, [], ["handle"], (schema.BuiltinOptions.VarHandleOptions, handle)),
            (Op.READ_VARIABLE, ["handle"], ["before"], None),
            (Op.ADD, ["x", "before"], ["y"], add_options()),
            (Op.ASSIGN_VARIABLE, ["handle", "y"], [], None),
        ],
        ["x"],
        ["y"],
    )
