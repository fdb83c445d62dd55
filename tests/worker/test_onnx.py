"""onnxruntime behind the worker's interface: types, shapes, memory, stopping."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import TensorProto

from support.onnx_models import FLOAT, I64, constant, identity, linear, model, node
from support.workers import spec_of
from wasmind.errors import ModelLoadFailed
from wasmind.nn.signature import TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.worker.runtimes.base import DTYPES
from wasmind.worker.runtimes.onnx import OnnxModel, Runtime

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Load = Callable[[bytes], OnnxModel]

NUMBERS = {
    TensorType.F16: TensorProto.FLOAT16,
    TensorType.F32: TensorProto.FLOAT,
    TensorType.F64: TensorProto.DOUBLE,
    TensorType.BF16: TensorProto.BFLOAT16,
    TensorType.U8: TensorProto.UINT8,
    TensorType.I32: TensorProto.INT32,
    TensorType.I64: TensorProto.INT64,
    TensorType.BOOL: TensorProto.BOOL,
    TensorType.I8: TensorProto.INT8,
    TensorType.I16: TensorProto.INT16,
    TensorType.U16: TensorProto.UINT16,
    TensorType.U32: TensorProto.UINT32,
    TensorType.U64: TensorProto.UINT64,
}


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def of(data: bytes) -> OnnxModel:
        path = tmp_path / "model.onnx"
        path.write_bytes(data)
        return Runtime().load(spec_of(path))

    return of


def values(kind: TensorType, dims: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 2, dims).astype(DTYPES[kind])


@pytest.mark.parametrize("direct", [True, False], ids=["in its place", "where it likes"])
@pytest.mark.parametrize("kind", list(TensorType), ids=str)
def test_every_element_type_goes_through(load: Load, kind: TensorType, direct: bool) -> None:
    made = load(identity(NUMBERS[kind], ("N", 3)))
    assert made.signature.inputs == (TensorSpec("x", kind, ("N", 3)),)
    x = values(kind, (4, 3))
    place = np.empty_like(x) if direct else None
    (y,) = made.execution().run([x], [place])
    assert y.dtype == DTYPES[kind]
    assert y.tobytes() == x.tobytes()
    assert (y is place) is direct


@pytest.mark.parametrize("dims", [(), (0,), (2, 0, 3), (1,) * 7], ids=str)
def test_scalars_empty_tensors_and_high_ranks(load: Load, dims: tuple[int, ...]) -> None:
    execution = load(identity(FLOAT, tuple("abcdefg"[: len(dims)]))).execution()
    x = np.full(dims, 1.5, np.float32)
    for place in (None, np.empty(dims, np.float32)):
        (y,) = execution.run([x], [place])
        assert y.shape == dims
        assert y.tobytes() == x.tobytes()


def test_symbols_keep_their_names(load: Load) -> None:
    made = load(model([node("Relu", ["x"], ["y"])], [("x", FLOAT, ["batch", None, 3])], [("y", FLOAT, None)]))
    assert made.signature.inputs[0].dims == ("batch", None, 3)


def test_results_are_bit_equal_to_the_framework_called_directly(load: Load) -> None:
    import onnxruntime as ort

    random = np.random.default_rng(1)
    data = model(
        [node("MatMul", ["x", "w"], ["h"]), node("Softmax", ["h"], ["y"])],
        [("x", FLOAT, ["N", 64])],
        [("y", FLOAT, ["N", 10])],
        [constant("w", FLOAT, [64, 10], random.standard_normal(640).astype(np.float32))],
    )
    x = random.standard_normal((5, 64)).astype(np.float32)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    (expected,) = ort.InferenceSession(data, options).run(None, {"x": x})
    (got,) = load(data).execution().run([x], [np.empty((5, 10), np.float32)])
    assert got.tobytes() == expected.tobytes()


def test_new_bytes_in_the_same_array_are_read(load: Load) -> None:
    execution = load(linear()).execution()
    x, y = np.zeros((1, 4), np.float32), np.empty((1, 4), np.float32)
    for value in (1.0, 5.0):
        x[:] = value
        execution.run([x], [y])
        assert y.tolist() == [[2 * value + 1] * 4]


def test_other_arrays_are_bound_anew(load: Load) -> None:
    execution = load(identity(FLOAT, ("N",))).execution()
    for size in (3, 5, 3, 1, 0, 7):
        x, y = np.arange(size, dtype=np.float32), np.empty(size, np.float32)
        execution.run([x], [y])
        assert y.tolist() == x.tolist()
        assert execution.run([x], [None])[0].tolist() == x.tolist()


def test_a_signature_that_is_wrong_does_not_stop_the_model(load: Load) -> None:
    """The symbol N is declared for two sizes that differ; onnxruntime itself runs such models."""
    data = model([node("NonZero", ["x"], ["y"])], [("x", FLOAT, ["N", 3])], [("y", I64, [2, "N"])])
    execution = load(data).execution()
    x = np.ones((2, 3), np.float32)
    place = np.zeros((2, 2), np.int64)
    for _ in range(2):
        (y,) = execution.run([x], [place])
        assert y is not place
        assert y.tolist() == [[0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2]]


def test_a_failed_run_leaves_the_next_one_alone(load: Load) -> None:
    data = model(
        [node("Gather", ["table", "i"], ["y"])],
        [("i", I64, ["N"])],
        [("y", FLOAT, ["N", 2])],
        [constant("table", FLOAT, [4, 2], range(8))],
    )
    execution = load(data).execution()
    place = np.empty((1, 2), np.float32)
    for index in (1, 99, 2):
        i = np.array([index], np.int64)
        if index == 99:
            with pytest.raises(RuntimeError, match="out of data bounds"):
                execution.run([i], [place])
        else:
            assert execution.run([i], [place])[0].tolist() == [[2 * index, 2 * index + 1]]


def forever() -> bytes:
    """A loop of 2^60 rounds."""
    from onnx import helper

    body = helper.make_graph(
        [node("Identity", ["go"], ["going"]), node("Add", ["v", "v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("n", I64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", FLOAT, [1]),
        ],
    )
    return model(
        [node("Loop", ["rounds", "", "x"], ["y"], body=body)],
        [("x", FLOAT, [1])],
        [("y", FLOAT, [1])],
        [constant("rounds", I64, [], [2**60])],
    )


def test_a_run_can_be_stopped_from_another_thread(load: Load) -> None:
    execution = load(forever()).execution()
    timer = threading.Timer(0.2, execution.abort)
    timer.start()
    began = time.monotonic()
    with pytest.raises(RuntimeError, match="terminate flag"):
        execution.run([np.ones(1, np.float32)], [np.empty(1, np.float32)])
    assert time.monotonic() - began < 5
    timer.join()


def test_stopping_between_runs_does_not_stop_the_next(load: Load) -> None:
    execution = load(linear()).execution()
    assert execution.abort()
    assert execution.run([np.ones((1, 4), np.float32)], [None])[0].tolist() == [[3.0] * 4]


def test_executions_share_one_model(load: Load) -> None:
    made = load(linear())
    results: list[float] = []

    def run(value: float) -> None:
        execution = made.execution()
        x, y = np.full((1, 4), value, np.float32), np.empty((1, 4), np.float32)
        for _ in range(300):
            execution.run([x], [y])
            if y[0, 0] != 2 * value + 1:
                results.append(y[0, 0])

    threads = [threading.Thread(target=run, args=(value,)) for value in (1.0, 2.0, 3.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == []


def test_text_and_sequences_are_refused_with_what_to_do(load: Load) -> None:
    with pytest.raises(ModelLoadFailed, match=r"tensor\(string\)") as caught:
        load(identity(TensorProto.STRING, (1,)))
    assert "numeric" in (caught.value.remedy or "")


def test_a_file_that_is_no_model_is_refused(load: Load) -> None:
    with pytest.raises(Exception, match=r"(?i)protobuf"):
        load(b"not a model at all")
