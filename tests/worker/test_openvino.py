"""OpenVINO behind the worker's interface: types, shapes, memory, state, and errors that it would swallow."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import TensorProto

from support import openvino_models
from support.onnx_models import FLOAT, I64, constant, identity, linear, model, node
from support.workers import spec_of
from wasmind.errors import ModelLoadFailed, UnsupportedOperation
from wasmind.nn.signature import TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.worker.runtimes import openvino
from wasmind.worker.runtimes.base import DTYPES
from wasmind.worker.runtimes.openvino import OpenVinoModel, Runtime

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Load = Callable[..., OpenVinoModel]

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


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    return Runtime()


@pytest.fixture
def load(tmp_path: Path, runtime: Runtime) -> Load:
    def of(data: bytes, **settings: Any) -> OpenVinoModel:
        path = tmp_path / "model.onnx"
        path.write_bytes(data)
        return runtime.load(spec_of(path, runtime="openvino", **settings))

    return of


def added() -> bytes:
    """z = x + y of any two matrices."""
    return model(
        [node("Add", ["x", "y"], ["z"])],
        [("x", FLOAT, ["a", "b"]), ("y", FLOAT, ["c", "d"])],
        [("z", FLOAT, None)],
    )


@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_that_fails_says_so_and_gives_nobody_the_last_answer(load: Load, threads: int) -> None:
    """With one thread, infer() keeps the error to itself and gives the last caller's output."""
    execution = load(added(), threads=threads).execution()
    one, seven = np.ones((2, 2), np.float32), np.full((2, 2), 7, np.float32)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="dim index: 0 mismatch"):
            execution.run([np.ones((2, 3), np.float32), np.ones((4, 5), np.float32)], [None])
        assert execution.run([one, seven], [None])[0].tolist() == [[8.0] * 2] * 2


@pytest.mark.parametrize("direct", [True, False], ids=["in its place", "where it likes"])
@pytest.mark.parametrize("kind", list(TensorType), ids=str)
def test_every_element_type_goes_through(load: Load, kind: TensorType, direct: bool) -> None:
    made = load(identity(NUMBERS[kind], (4, 3) if direct else ("N", 3)))
    assert made.signature.inputs == (TensorSpec("x", kind, (4, 3) if direct else (None, 3)),)
    x = np.random.default_rng(0).integers(0, 2, (4, 3)).astype(DTYPES[kind])
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


def test_other_arrays_and_other_places_are_bound_anew(load: Load) -> None:
    execution = load(linear()).execution()
    for value in (1.0, 5.0, 2.0):
        x, y = np.full((1, 4), value, np.float32), np.empty((1, 4), np.float32)
        assert execution.run([x], [y])[0] is y
        assert y.tolist() == [[2 * value + 1] * 4]
        x[:] = 0  # the same array with new bytes
        assert execution.run([x], [None])[0].tolist() == [[1.0] * 4]


def test_sizes_that_change(load: Load) -> None:
    execution = load(identity(FLOAT, ("N",))).execution()
    for size in (3, 5, 3, 1, 0, 7):
        x = np.arange(size, dtype=np.float32)
        assert execution.run([x], [None])[0].tolist() == x.tolist()


def test_a_place_for_an_open_shape_is_not_written_to(load: Load) -> None:
    data = model([node("NonZero", ["x"], ["y"])], [("x", FLOAT, ["N", 3])], [("y", I64, [2, "N"])])
    place = np.zeros((2, 2), np.int64)
    (y,) = load(data).execution().run([np.ones((2, 3), np.float32)], [place])
    assert y.tolist() == [[0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2]]
    assert not place.any()


def test_it_computes_in_full_precision_as_onnxruntime_does(load: Load) -> None:
    """Left alone it computes in bf16 where the processor can: three digits."""
    import onnxruntime as ort

    random = np.random.default_rng(1)
    data = model(
        [node("MatMul", ["x", "w"], ["h"]), node("Softmax", ["h"], ["y"])],
        [("x", FLOAT, ["N", 64])],
        [("y", FLOAT, ["N", 10])],
        [constant("w", FLOAT, [64, 10], random.standard_normal(640).astype(np.float32))],
    )
    x = random.standard_normal((5, 64)).astype(np.float32)
    (expected,) = ort.InferenceSession(data).run(None, {"x": x})
    (got,) = load(data).execution().run([x], [None])
    assert np.allclose(got, expected, rtol=1e-5, atol=1e-7)


def test_results_are_bit_equal_to_the_framework_called_directly(load: Load, tmp_path: Path) -> None:
    import openvino as ov

    random = np.random.default_rng(1)
    data = model(
        [node("MatMul", ["x", "w"], ["h"]), node("Softmax", ["h"], ["y"])],
        [("x", FLOAT, ["N", 64])],
        [("y", FLOAT, ["N", 10])],
        [constant("w", FLOAT, [64, 10], random.standard_normal(640).astype(np.float32))],
    )
    x = random.standard_normal((5, 64)).astype(np.float32)
    (got,) = load(data).execution().run([x], [None])
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    direct = ov.Core().compile_model(ov.Core().read_model(data), "CPU", settings)
    assert got.tobytes() == direct([x])[0].tobytes()


def test_what_a_run_leaves_behind_the_next_does_not_see(runtime: Runtime, tmp_path: Path) -> None:
    import openvino as ov
    from openvino import opset13 as ops

    x = ops.parameter([2], np.float32, name="x")
    total = ops.read_value(ops.constant(np.zeros(2, np.float32)), "total", np.dtype(np.float32), [2])
    sum_ = ops.add(x, total)
    keep = ops.assign(sum_, "total")
    ov.save_model(ov.Model([ops.result(sum_)], [keep], [x], "counter"), tmp_path / "counter.xml")
    spec = spec_of(tmp_path / "counter.xml", runtime="openvino", encoding="openvino")
    execution = runtime.load(spec).execution()
    for _ in range(3):
        assert execution.run([np.ones(2, np.float32)], [None])[0].tolist() == [1.0, 1.0]


def test_weights_may_stand_elsewhere(runtime: Runtime, tmp_path: Path) -> None:
    from wasmind.catalog.files import files_of

    (tmp_path / "net.xml").write_text(openvino_models.linear())
    (tmp_path / "elsewhere.weights.bin").write_bytes(openvino_models.WEIGHTS)
    files = files_of(tmp_path / "net.xml", "openvino", tmp_path / "elsewhere.weights.bin")
    spec = spec_of(tmp_path / "net.xml", files=files, runtime="openvino", encoding="openvino")
    x = np.ones((1, 4), np.float32)
    assert runtime.load(spec).execution().run([x], [None])[0].tolist() == [[3.0] * 4]


def test_a_file_that_is_replaced_does_not_change_what_is_loaded(runtime: Runtime, tmp_path: Path) -> None:
    path = openvino_models.write(tmp_path)
    execution = runtime.load(spec_of(path, runtime="openvino", encoding="openvino")).execution()
    with open(tmp_path / "linear.bin", "r+b") as file:
        file.write(bytes(8))
    assert execution.run([np.ones((1, 4), np.float32)], [None])[0].tolist() == [[3.0] * 4]


def test_stopping_between_runs_does_not_stop_the_next(load: Load) -> None:
    execution = load(linear()).execution()
    assert execution.abort()
    assert execution.run([np.ones((1, 4), np.float32)], [None])[0].tolist() == [[3.0] * 4]


def test_executions_share_one_model(load: Load) -> None:
    made = load(linear(), instances=2)
    wrong: list[float] = []

    def run(value: float) -> None:
        execution = made.execution()
        x, y = np.full((1, 4), value, np.float32), np.empty((1, 4), np.float32)
        for _ in range(200):
            execution.run([x], [y])
            if y[0, 0] != 2 * value + 1:
                wrong.append(y[0, 0])

    threads = [threading.Thread(target=run, args=(value,)) for value in (1.0, 2.0, 3.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_text_is_refused_with_what_to_do(load: Load) -> None:
    with pytest.raises(ModelLoadFailed, match="a tensor of string") as caught:
        load(identity(TensorProto.STRING, (1,)))
    assert "numbers only" in (caught.value.remedy or "")


def test_telemetry_is_not_there() -> None:
    import sys

    assert sys.modules["openvino_telemetry"] is None
    from openvino.tools.ovc import telemetry_utils

    assert "stub" in telemetry_utils.tm.__name__


def test_what_is_tried_on_a_device_is_right_on_the_one_that_is_there() -> None:
    core = openvino.ov.Core()
    openvino._try(core, "CPU")
    with pytest.raises(RuntimeError):
        openvino._try(core, "GPU.7")


@pytest.mark.parametrize(("target", "taken"), [("gpu", "GPU.0"), ("tpu", "NPU")])
def test_the_first_device_of_a_kind_is_taken_when_it_computes(
    target: Any, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    class Core:
        available_devices = ("CPU", "GPU.0", "GPU.1", "NPU")

    def fail(_core: Core, device: str) -> None:
        tried.append(device)
        raise RuntimeError("no kernel driver")

    runtime = Runtime()
    runtime._core = Core()
    monkeypatch.setattr(openvino, "_try", fail)
    with pytest.raises(UnsupportedOperation, match="there is no") as caught:
        runtime.open_device(target)
    assert (caught.value.cause or "").endswith("it finds CPU, GPU.0, GPU.1, NPU: no kernel driver")
    monkeypatch.setattr(openvino, "_try", lambda _core, device: tried.append(device))
    assert runtime.open_device(target) == taken
    assert tried == [taken, taken]
