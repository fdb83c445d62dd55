from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from wasmind.config.convert import TopK
from wasmind.errors import ModelLoadFailed
from wasmind.nn.signature import TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.worker.conversions.best import top_k

LABELS = ("cat", "dog", "cup")


def answer(dims: tuple[Any, ...], values: Any, labels: tuple[str, ...] = LABELS, **step: Any) -> Any:
    kind = TensorType.I32 if np.asarray(values).dtype.kind == "i" else TensorType.F32
    stage = top_k(TopK(**step), TensorSpec("y", kind, dims), labels)
    assert stage.outer == TensorSpec("y", TensorType.U8, ("y_bytes",))
    array = np.asarray(values, np.int32 if kind is TensorType.I32 else np.float32)
    return json.loads(bytes(stage.run(array)))


def test_the_best_come_first_with_their_labels() -> None:
    assert answer((1, 3), [[0.1, 0.25, 0.95]], k=2) == [
        {"label": "cup", "index": 2, "score": 0.95},
        {"label": "dog", "index": 1, "score": 0.25},
    ]


def test_equal_ones_keep_their_order() -> None:
    assert [one["label"] for one in answer((3,), [0.5, 0.5, 0.5])] == ["cat", "dog", "cup"]


def test_several_rows_give_a_list_each() -> None:
    found = answer(("N", 3), [[1.0, 0, 0], [0, 1.0, 0]], k=1)
    assert [[one["label"] for one in row] for row in found] == [["cat"], ["dog"]]
    assert answer(("N", 3), [[1.0, 0, 0]], k=1) == [[{"label": "cat", "index": 0, "score": 1.0}]], (
        "how many rows come does not change what a function has to read"
    )


def test_a_score_may_be_asked_for() -> None:
    assert [one["index"] for one in answer((3,), [0.2, 0.9, 0.5], min_score=0.5)] == [1, 2]
    assert answer((3,), [0.1, 0.1, 0.1], min_score=0.5) == []


def test_without_labels_there_is_the_index() -> None:
    assert answer((3,), [1, 5, 3], labels=(), k=1) == [{"index": 1, "score": 5}]


def test_what_is_no_number_is_never_the_best() -> None:
    found = answer((3,), [float("nan"), float("inf"), 1.0])
    assert [one["index"] for one in found] == [1, 2, 0]
    assert [one["score"] for one in found] == [None, 1.0, None]


def test_more_are_asked_for_than_there_are() -> None:
    assert len(answer((3,), [1.0, 2.0, 3.0], k=100)) == 3


def test_labels_of_another_model_are_refused() -> None:
    with pytest.raises(ModelLoadFailed, match="top_k") as caught:
        top_k(TopK(), TensorSpec("y", TensorType.F32, (1, 1000)), LABELS)
    assert "there are 3 labels" in caught.value.explain()
    with pytest.raises(ModelLoadFailed, match="top_k"):
        top_k(TopK(), TensorSpec("y", TensorType.F32, ()), ())
