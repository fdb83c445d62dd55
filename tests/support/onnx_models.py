"""Small ONNX models, made when they are needed."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import onnx
from onnx import TensorProto, helper

if TYPE_CHECKING:
    from collections.abc import Sequence

FLOAT, U8, I32, I64, F16, F64, BOOL = (
    TensorProto.FLOAT,
    TensorProto.UINT8,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.FLOAT16,
    TensorProto.DOUBLE,
    TensorProto.BOOL,
)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[tuple[str, int, Sequence[int | str | None]]],
    outputs: Sequence[tuple[str, int, Sequence[int | str | None] | None]],
    initializers: Sequence[onnx.TensorProto] = (),
    opset: int = 17,
) -> bytes:
    """A model's bytes; an input is (name, element type, dimensions)."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info(*each) for each in outputs],
        list(initializers),
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    made.ir_version = 8
    data: bytes = made.SerializeToString()
    return data


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, list(inputs), list(outputs), **attributes)


def constant(name: str, kind: int, dims: Sequence[int], values: Sequence[float]) -> onnx.TensorProto:
    return helper.make_tensor(name, kind, list(dims), list(values))


@cache
def linear() -> bytes:
    """y = 2x + 1 for f32 [1,4]."""
    return model(
        [node("Mul", ["x", "two"], ["twice"]), node("Add", ["twice", "one"], ["y"])],
        [("x", FLOAT, [1, 4])],
        [("y", FLOAT, [1, 4])],
        [constant("two", FLOAT, [1], [2.0]), constant("one", FLOAT, [1], [1.0])],
    )


def slow(seconds: float) -> bytes:
    """y = 2x for f32 [N,1], after about so long: a product of large matrices, again and again."""
    rounds = max(1, int(seconds / 0.004))
    nodes = [node("Identity", ["big"], ["m0"])]
    for number in range(rounds):
        nodes.append(node("MatMul", [f"m{number}", "big"], [f"p{number}"]))
        nodes.append(node("Mul", [f"p{number}", "zero"], [f"m{number + 1}"]))
    nodes.append(node("ReduceSum", [f"m{rounds}"], ["s"], keepdims=0))
    nodes.append(node("Add", ["x", "x"], ["twice"]))
    nodes.append(node("Add", ["twice", "s"], ["y"]))
    size = 400
    return model(
        nodes,
        [("x", FLOAT, ["N", 1]), ("big", FLOAT, [size, size])],
        [("y", FLOAT, ["N", 1])],
        [constant("zero", FLOAT, [], [0.0])],
    )


@cache
def plus_one() -> bytes:
    """y = x + 1 for f32 [N]."""
    return model(
        [node("Add", ["x", "one"], ["y"])],
        [("x", FLOAT, ["N"])],
        [("y", FLOAT, ["N"])],
        [constant("one", FLOAT, [1], [1.0])],
    )


@cache
def identity(kind: int, dims: tuple[int | str | None, ...]) -> bytes:
    """y = x."""
    return model([node("Identity", ["x"], ["y"])], [("x", kind, dims)], [("y", kind, dims)])


@cache
def add() -> bytes:
    """z = x + y for f32 [N,3] twice, and their product w."""
    return model(
        [node("Add", ["x", "y"], ["z"]), node("Mul", ["x", "y"], ["w"])],
        [("x", FLOAT, ["N", 3]), ("y", FLOAT, ["N", 3])],
        [("z", FLOAT, ["N", 3]), ("w", FLOAT, ["N", 3])],
    )


@cache
def gather() -> bytes:
    """Rows of a table with four rows: an index beyond it makes the framework fail."""
    return model(
        [node("Gather", ["table", "i"], ["y"])],
        [("i", I64, ["N"])],
        [("y", FLOAT, ["N", 2])],
        [constant("table", FLOAT, [4, 2], range(8))],
    )
