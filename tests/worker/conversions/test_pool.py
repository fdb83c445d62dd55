from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from wasmind.config.convert import Pool
from wasmind.errors import ConversionFailed, ModelLoadFailed
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.worker.conversions.pool import pool

HIDDEN = np.array([[[1, 2], [3, 4], [100, 100]], [[5, -6], [0, 0], [0, 0]]], np.float32)
MASK = np.array([[1, 1, 0], [1, 0, 0]], np.int64)
MODEL = Signature(
    (
        TensorSpec("input_ids", TensorType.I64, ("N", "L")),
        TensorSpec("attention_mask", TensorType.I64, ("N", "L")),
    ),
    (),
)
OUTPUT = TensorSpec("hidden", TensorType.F32, ("N", "L", 2))


def pooled(model: Signature = MODEL, hidden: Any = HIDDEN, **step: Any) -> Any:
    spec, run = pool(Pool(**step), OUTPUT, model)
    assert spec == TensorSpec("hidden", TensorType.F32, ("N", 2))
    found = run(hidden, [MASK, MASK])
    assert found.dtype == np.float32
    return found.tolist()


def test_the_mean_is_of_the_tokens_that_count() -> None:
    assert pooled() == [[2, 3], [5, -6]]


def test_without_a_mask_every_token_counts() -> None:
    assert pooled(Signature(MODEL.inputs[:1], ())) == [
        pytest.approx([104 / 3, 106 / 3]),
        pytest.approx([5 / 3, -2]),
    ]


def test_the_largest_and_the_first() -> None:
    assert pooled(by="max") == [[3, 4], [5, -6]]
    assert pooled(by="first") == [[1, 2], [5, -6]]


def test_a_vector_of_length_1() -> None:
    assert pooled(by="first", unit=True)[1] == pytest.approx([5 / 61**0.5, -6 / 61**0.5])
    assert pooled(hidden=np.zeros_like(HIDDEN), unit=True) == [[0, 0], [0, 0]], "not divided by 0"


def test_no_token_counts_for_nothing() -> None:
    spec, run = pool(Pool(by="max"), OUTPUT, MODEL)
    assert run(HIDDEN, [MASK, np.zeros_like(MASK)]).tolist() == [[0, 0], [0, 0]]
    assert run(np.zeros((1, 0, 2), np.float32), [MASK, np.zeros((1, 0))]).tolist() == [[0, 0]]
    assert spec.name == "hidden"


def test_halves_are_pooled_in_whole_floats() -> None:
    spec, run = pool(Pool(), TensorSpec("hidden", TensorType.F16, ("N", "L", 2)), MODEL)
    assert spec.type is TensorType.F32
    assert run(HIDDEN.astype(np.float16), [MASK, MASK]).dtype == np.float32


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ModelLoadFailed, match="pool"):
        pool(Pool(), TensorSpec("y", TensorType.F32, ("N", 1000)), MODEL)
    with pytest.raises(ModelLoadFailed, match="no input 'which'"):
        pool(Pool(mask="which"), OUTPUT, MODEL)
    _, run = pool(Pool(), OUTPUT, MODEL)
    with pytest.raises(ConversionFailed, match="does not fit"):
        run(HIDDEN, [MASK, MASK[:, :2]])
