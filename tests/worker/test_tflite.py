"""LiteRT behind the worker's interface: signatures, sizes that change, places, variables, damage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from support import tflite_models as models
from wasmind.errors import ModelLoadFailed
from wasmind.nn.signature import TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.worker.runtimes.tflite import TFLiteModel

if TYPE_CHECKING:
    from collections.abc import Sequence


def ran(data: bytes, *inputs: np.ndarray) -> Sequence[np.ndarray]:
    made = TFLiteModel(data, 1)
    return made.execution().run(list(inputs), [None] * len(made.signature.outputs))


def test_open_dimensions_and_types() -> None:
    signature = TFLiteModel(models.linear(-1), 1).signature
    assert signature.inputs == (TensorSpec("x", TensorType.F32, (None, 4)),)
    assert TFLiteModel(models.tiled(), 1).signature.inputs == (TensorSpec("times", TensorType.I32, (2,)),)


def test_sizes_that_change_and_places() -> None:
    execution = TFLiteModel(models.linear(-1), 1).execution()
    for rows in (1, 3, 2, 3):
        x = np.full((rows, 4), rows, np.float32)
        place = np.empty((rows, 4), np.float32)
        assert execution.run([x], [place])[0] is place
        assert place.tolist() == [[2.0 * rows + 1] * 4] * rows
        (kept,) = execution.run([x], [None])
        execution.run([x * 0], [None])
        assert kept.tolist() == place.tolist()  # it is the caller's own


def test_an_output_of_another_size_than_its_place() -> None:
    place = np.zeros((1, 1), np.float32)
    (y,) = TFLiteModel(models.tiled(), 1).execution().run([np.array([2, 3], np.int32)], [place])
    assert y.shape == (2, 3)
    assert not place.any()


def test_one_signatures_names_are_taken() -> None:
    tensors = [models.Tensor("a:0", [1, 4]), models.Tensor("b:0", [1, 4])]
    operators = [(models.Op.ADD, ["a:0", "a:0"], ["b:0"], models.add_options())]
    data = models.model(tensors, operators, ["a:0"], ["b:0"], {"a:0": "x", "b:0": "y"})
    signature = TFLiteModel(data, 1).signature
    assert (signature.inputs[0].name, signature.outputs[0].name) == ("x", "y")


def test_a_model_with_variables_gets_a_new_interpreter_for_each_run() -> None:
    made = TFLiteModel(models.counter(), 2)
    assert made.remembers
    assert not TFLiteModel(models.linear(), 1).remembers
    execution = made.execution()
    first = execution._interpreter
    execution.run([np.ones(2, np.float32)], [None])
    assert execution._interpreter is not first


def test_a_failed_run_leaves_the_next_one_alone() -> None:
    execution = TFLiteModel(models.tiled(), 1).execution()
    with pytest.raises(RuntimeError, match="non-negative"):
        execution.run([np.array([-1, 2], np.int32)], [None])
    assert execution.run([np.array([1, 2], np.int32)], [None])[0].shape == (1, 2)
    assert execution.abort() is False


@pytest.mark.parametrize("data", [b"\x1c\0\0\0TFL3", models.linear()[:200]], ids=["short", "cut off"])
def test_damage_is_told_before_it_crashes(data: bytes) -> None:
    with pytest.raises(ModelLoadFailed, match="damaged") as caught:
        ran(data, np.ones((1, 4), np.float32))
    assert "checksum" in (caught.value.remedy or "")
