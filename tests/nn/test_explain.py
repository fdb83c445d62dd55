from __future__ import annotations

import os
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from support import onnx_models as m
from wasmind.errors import ModelLoadFailed, RuntimeFailed
from wasmind.nn.explain import MAX_WORDS, explain, explained, tidy
from wasmind.nn.wordings import onnx as wordings

TWO = np.zeros((2, 3), np.float32)


def words_of(
    model: bytes | str, feed: dict[str, Any] | None = None, outputs: list[str] | None = None, **options: Any
) -> str:
    """What the real framework says."""
    session_options = ort.SessionOptions()
    session_options.log_severity_level = 4
    run_options = ort.RunOptions()
    run_options.terminate = options.get("terminate", False)
    try:
        session = ort.InferenceSession(model, session_options, providers=["CPUExecutionProvider"])
        session.run(outputs, feed or {}, run_options)
    except Exception as error:  # noqa: BLE001 - the binding raises many kinds
        return str(error)
    raise AssertionError("the framework found nothing wrong")


def binary(
    kind: str, x: tuple[Any, ...] = ("a", "b"), y: tuple[Any, ...] = ("c", "d"), **attributes: Any
) -> bytes:
    return m.model(
        [m.node(kind, ["x", "y"], ["z"], **attributes)],
        [("x", m.FLOAT, x), ("y", m.FLOAT, y)],
        [("z", m.FLOAT, None)],
    )


def unary(kind: str, type_: int = m.FLOAT, opset: int = 17) -> bytes:
    return m.model([m.node(kind, ["x"], ["z"])], [("x", type_, [1])], [("z", type_, [1])], opset=opset)


def sized() -> bytes:
    return m.model([m.node("ConstantOfShape", ["s"], ["z"])], [("s", m.I64, ["k"])], [("z", m.FLOAT, None)])


def sizes(*values: int) -> dict[str, Any]:
    return {"s": np.array(values, np.int64)}


def custom() -> bytes:
    node = helper.make_node("Foo", ["x"], ["z"], domain="my.ops")
    made = onnx.load_from_string(m.model([node], [("x", m.FLOAT, [1])], [("z", m.FLOAT, [1])]))
    made.opset_import.append(helper.make_opsetid("my.ops", 1))
    return bytes(made.SerializeToString())


def newer_format() -> bytes:
    made = onnx.load_from_string(m.linear())
    made.ir_version = 99
    return bytes(made.SerializeToString())


def external(location: str) -> bytes:
    weight = onnx.TensorProto(name="w", data_type=m.FLOAT, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    entry = weight.external_data.add()
    entry.key, entry.value = "location", location
    return m.model([m.node("Add", ["x", "w"], ["z"])], [("x", m.FLOAT, [1])], [("z", m.FLOAT, [1])], [weight])


RESHAPE = m.model(
    [m.node("Reshape", ["x", "s"], ["z"])],
    [("x", m.FLOAT, ["a", "b"])],
    [("z", m.FLOAT, None)],
    [m.constant("s", m.I64, [2], [4, 4])],
)
MIXED = m.model(
    [m.node("Add", ["x", "y"], ["z"])], [("x", m.FLOAT, [1]), ("y", m.I64, [1])], [("z", m.FLOAT, [1])]
)
DANGLING = m.model([m.node("Relu", ["nope"], ["z"])], [("x", m.FLOAT, [1])], [("z", m.FLOAT, [1])])
CONV = m.model(
    [m.node("Conv", ["x", "w"], ["z"])],
    [("x", m.FLOAT, list("abcd")), ("w", m.FLOAT, list("efgh"))],
    [("z", m.FLOAT, None)],
)
PIXELS, KERNEL = np.zeros((1, 3, 8, 8), np.float32), np.zeros((4, 8, 3, 3), np.float32)

CASES: dict[str, tuple[tuple[Any, ...], str]] = {
    "dimensions": (
        (binary("Add", (2, 3)), {"x": TWO.T.copy(), "y": TWO}),
        'dimension 0 of input "x" is 3, and the model has 2',
    ),
    "rank": (
        (binary("Add", (2, 3)), {"x": TWO[0], "y": TWO}),
        'input "x" has 1 dimensions, and the model takes 2',
    ),
    "type": (
        (binary("Add"), {"x": TWO.astype(np.float64), "y": TWO}),
        "an input holds double elements, and the model takes float",
    ),
    "missing input": ((binary("Add"), {"x": TWO}), "the model needs 'y' too"),
    "input name": ((binary("Add"), {"x": TWO, "y": TWO, "q": TWO}), 'the model has no input "q"'),
    "output name": ((binary("Add"), {"x": TWO, "y": TWO}, ["q"]), 'the model has no output "q"'),
    "broadcast": (
        (binary("Add"), {"x": TWO, "y": np.zeros((4, 4), np.float32)}),
        "at Add the sizes 3 and 4 meet",
    ),
    "matmul": (
        (binary("MatMul"), {"x": TWO, "y": TWO}),
        "at MatMul the inner dimensions of two matrices differ",
    ),
    "concat": (
        (binary("Concat", axis=0), {"x": TWO, "y": np.zeros((2, 4), np.float32)}),
        "two inputs that the model joins differ",
    ),
    "reshape": ((RESHAPE, {"x": TWO}), "the model reshapes [2,3] to [4,4]"),
    "index": (
        (m.gather(), {"i": np.array([7], np.int64)}),
        "an input holds the index 7, and the model has a table for -4 to 3",
    ),
    "channels": ((CONV, {"x": PIXELS, "w": KERNEL}), "the image has 3 channels, and the model takes 8"),
    "memory": ((sized(), sizes(1 << 40)), "the model wanted 4398046511104 bytes for one tensor"),
    "overflow": ((sized(), sizes(1 << 60, 1 << 60)), "a size computed inside the model is impossible"),
    "negative size": ((sized(), sizes(-1)), "a size computed inside the model is impossible"),
    "no protobuf": ((b"hello world, not onnx",), "this is no ONNX file, or not all of one"),
    "cut off": ((m.linear()[:-20],), "this is no ONNX file, or not all of one"),
    "no graph": ((b"",), "the file has no graph in it"),
    "newer format": ((newer_format(),), "the file's format (IR version 99) is newer"),
    "newer opset": ((unary("Relu", opset=99),), "the model uses operator set 99"),
    "no such operator": ((unary("Foo"),), "there is no operator Foo in operator set 17"),
    "custom operator": ((custom(),), "Foo is a custom operator of my.ops"),
    "not implemented": (
        (unary("Relu", onnx.TensorProto.BFLOAT16),),
        "ONNX Runtime has no Relu for this element type",
    ),
    "mixed types": ((MIXED,), "Add in the model mixes float and int64"),
    "shape inference": ((binary("MatMul", (2, 3), (2, 3)),), "the shapes or types around MatMul"),
    "dangling": ((DANGLING,), 'a node of the model reads "nope", which nothing gives'),
    "weights outside": (
        (external("../../etc/passwd"),),
        "the model keeps its weights in a file outside its own directory",
    ),
    "weights missing": (
        (external("weights.bin"),),
        "the model's weights are in a second file, which is missing",
    ),
    "no file": (("/nowhere/model.onnx",), "the model's file is gone"),
}


@pytest.mark.parametrize(("arguments", "meaning"), CASES.values(), ids=CASES)
def test_what_the_framework_says_is_explained(arguments: tuple[Any, ...], meaning: str) -> None:
    words = words_of(*arguments)
    found = explain(words)
    assert found is not None, words
    assert meaning in found.meaning
    assert found.remedy
    assert "{" not in found.meaning + found.remedy


def test_a_run_that_is_stopped_is_explained() -> None:
    words = words_of(binary("Add"), {"x": TWO, "y": TWO}, terminate=True)
    assert "stopped, by its deadline" in str(explain(words))


def test_every_row_is_met_by_a_case() -> None:
    words = [tidy(words_of(*arguments)) for arguments, _ in CASES.values()]
    words += ["Exiting due to terminate flag being set to true."]
    unmet = [
        row.pattern.pattern for row in wordings.ROWS if not any(row.pattern.search(text) for text in words)
    ]
    assert unmet == []


def test_the_error_keeps_the_frameworks_own_words() -> None:
    error = explained(words_of(binary("Add", (2, 3)), {"x": TWO[0], "y": TWO}), RuntimeFailed)
    assert isinstance(error, RuntimeFailed)
    assert "Invalid rank for input: x Got: 1 Expected: 2" in error.message
    assert error.cause == 'input "x" has 1 dimensions, and the model takes 2'
    assert "batch dimension" in str(error.remedy)


def test_unknown_words_are_passed_on_alone() -> None:
    error = explained("the flux capacitor is empty", ModelLoadFailed)
    assert isinstance(error, ModelLoadFailed)
    assert error.explain() == "the framework says: the flux capacitor is empty."
    assert explained("", RuntimeFailed).message == "the framework says: nothing"


def test_words_are_put_on_one_line_without_source_positions() -> None:
    words = words_of(RESHAPE, {"x": TWO})
    assert "\n" in words
    assert "/onnxruntime_src/" in words
    assert "\n" not in tidy(words)
    assert "/onnxruntime_src/" not in tidy(words)


@given(st.text())
def test_any_words_are_harmless(words: str) -> None:
    found = explain(words)
    assert found is None or found.meaning
    assert len(tidy(words)) <= MAX_WORDS + 1


def test_long_words_are_cut() -> None:
    assert len(tidy("x " * 100_000)) == MAX_WORDS + 1
    hostile = "while running Add node. Name:''" * 100_000
    assert explain(hostile) is None
