"""First runs: warming up, and telling batches from other open dimensions."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from support.onnx_models import BOOL, FLOAT, I64, U8, constant, gather, identity, linear, model, node
from support.workers import spec_of
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.worker.runtimes.onnx import OnnxModel, Runtime
from wasmind.worker.warm import made_up, measure, probe_batching, warm_up

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Load = Callable[[bytes], OnnxModel]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def of(data: bytes) -> OnnxModel:
        path = tmp_path / "model.onnx"
        path.write_bytes(data)
        return Runtime().load(spec_of(path))

    return of


def normalised(axis: int) -> bytes:
    return model(
        [node("Softmax", ["x"], ["y"], axis=axis)], [("x", FLOAT, ["N", 4])], [("y", FLOAT, ["N", 4])]
    )


def minus_mean() -> bytes:
    """y = x - mean(x) over all rows: each row's answer depends on its neighbours."""
    return model(
        [node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1), node("Sub", ["x", "m"], ["y"])],
        [("x", FLOAT, ["N", 4])],
        [("y", FLOAT, ["N", 4])],
    )


def counted() -> bytes:
    """A second output with as many rows as the batch has, plus one."""
    return model(
        [node("Concat", ["x", "more"], ["y"], axis=0)],
        [("x", FLOAT, ["N", 2])],
        [("y", FLOAT, ["M", 2])],
        [constant("more", FLOAT, [1, 2], [0.0, 0.0])],
    )


@pytest.mark.parametrize(
    "data",
    [
        linear(),
        gather(),
        identity(U8, ("N", 3)),
        identity(BOOL, ()),
        identity(FLOAT, ("N", "H", "W", 3)),
        identity(I64, (None, None)),
    ],
)
def test_common_models_warm_up(load: Load, data: bytes) -> None:
    made = load(data)
    assert warm_up(made.execution(), made.signature) is None


def test_a_model_that_wants_larger_inputs_warms_up_too(load: Load) -> None:
    data = model(
        [node("Conv", ["x", "w"], ["y"], kernel_shape=[7, 7])],
        [("x", FLOAT, ["N", 1, "H", "W"])],
        [("y", FLOAT, ["N", 1, "P", "Q"])],
        [constant("w", FLOAT, [1, 1, 7, 7], [1.0] * 49)],
    )
    made = load(data)
    assert warm_up(made.execution(), made.signature) is None


def test_one_whose_inputs_cannot_be_guessed_says_why(load: Load) -> None:
    data = model(
        [node("Reshape", ["x", "to"], ["y"])],
        [("x", FLOAT, ["N"])],
        [("y", FLOAT, [3, 5])],
        [constant("to", I64, [2], [3, 5])],
    )
    made = load(data)
    why = warm_up(made.execution(), made.signature)
    assert why is not None
    assert why.startswith("not warmed up: ")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (identity(FLOAT, ("N", 4)), None),
        (gather(), None),
        (normalised(1), None),
        (normalised(0), "other answers together than alone"),
        (minus_mean(), "other answers together than alone"),
        (counted(), "other answers together than alone"),
        (linear(), "no open first dimension"),
    ],
    ids=["identity", "gather", "softmax of rows", "softmax over rows", "mean", "one row more", "fixed"],
)
def test_what_may_be_batched_is_found_by_trying(load: Load, data: bytes, why: str | None) -> None:
    made = load(data)
    found = probe_batching(made.execution(), made.signature)
    if why is None:
        assert found is None
    else:
        assert found is not None
        assert why in found


def test_a_warm_model_is_measured(load: Load) -> None:
    loaded = load(linear())
    assert 0 < (measure(loaded.execution(), loaded.signature) or 0) < 1000


def test_one_that_takes_no_made_up_input_is_not_measured() -> None:
    class Refusing:
        def run(self, *_: object) -> Any:
            raise RuntimeError("no")

        def abort(self) -> bool:
            return False

    assert measure(Refusing(), signature(TensorSpec("x", TensorType.F32, (1,)))) is None


def test_a_slow_model_is_run_once_more_only() -> None:
    class Slow:
        runs = 0

        def run(self, *_: object) -> Any:
            time.sleep(0.3)
            self.runs += 1

        def abort(self) -> bool:
            return False

    slow = Slow()
    assert (measure(slow, signature(TensorSpec("x", TensorType.F32, (1,)))) or 0) >= 300
    assert slow.runs == 1


def signature(*specs: TensorSpec) -> Signature:
    return Signature(specs, ())


@pytest.mark.parametrize("kind", list(TensorType), ids=str)
def test_inputs_are_made_up_of_every_type(kind: TensorType) -> None:
    (array,) = made_up(signature(TensorSpec("x", kind, ("N", 3, None))), 5, seed=1)
    assert array.shape == (1, 3, 5)
    values: np.ndarray[Any, Any] = array.astype(np.float64)
    assert values.min() >= 0
    assert values.max() <= 1


def test_the_batch_has_the_rows_asked_for_and_seeds_differ() -> None:
    spec = signature(TensorSpec("x", TensorType.F32, ("N", 8)))
    one, two = (made_up(spec, 1, seed=seed, rows=2)[0] for seed in (1, 2))
    assert one.shape == two.shape == (2, 8)
    assert not np.array_equal(one, two)
    assert np.array_equal(one, made_up(spec, 1, seed=1, rows=2)[0])


@pytest.mark.parametrize("dims", [(1 << 40,), (-1, 3), (1 << 20, 1 << 20)], ids=str)
def test_what_is_too_large_or_impossible_is_not_made_up(dims: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="too large to make up"):
        made_up(signature(TensorSpec("x", TensorType.F32, dims)), 1, seed=0)
