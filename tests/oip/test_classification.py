from __future__ import annotations

import struct

import numpy as np
import pytest

from wasmind.errors import InvalidArgument
from wasmind.nn.tensor import Tensor, TensorType
from wasmind.oip.classification import classify, packed


def f32(values: list[float], *dims: int) -> Tensor:
    return Tensor(TensorType.F32, dims, struct.pack(f"<{len(values)}f", *values))


def test_the_highest_come_first_with_their_labels() -> None:
    dims, texts = classify(f32([0.5, 8, -1, 2], 1, 4), 2, ("a", "b", "c", "d"))
    assert dims == [1, 2]
    assert texts == ["8.000000:1:b", "2.000000:3:d"]


def test_each_row_by_itself() -> None:
    dims, texts = classify(f32([1, 2, 4, 3], 2, 2), 1, ())
    assert dims == [2, 1]
    assert texts == ["2.000000:1", "4.000000:0"]


def test_no_more_classes_than_there_are() -> None:
    dims, texts = classify(f32([1, 2], 2), 5, ("one",))
    assert dims == [2]
    assert texts == ["2.000000:1", "1.000000:0:one"]


def test_equal_values_keep_their_order_and_nan_comes_last() -> None:
    _, texts = classify(f32([float("nan"), 1, 1], 3), 3, ())
    assert texts[:2] == ["1.000000:1", "1.000000:2"]


def test_whole_numbers_stay_whole() -> None:
    tensor = Tensor(TensorType.U8, (3,), bytes([0, 255, 3]))
    assert classify(tensor, 1, ())[1] == ["255:1"]


@pytest.mark.parametrize("count", [0, -1])
def test_a_count_that_is_none(count: int) -> None:
    with pytest.raises(InvalidArgument, match="classification of"):
        classify(f32([1], 1), count, ())


def test_a_number_alone_has_no_classes() -> None:
    with pytest.raises(InvalidArgument):
        classify(Tensor(TensorType.F32, (), struct.pack("<f", 1)), 1, ())


def test_texts_that_are_truths_have_no_order() -> None:
    with pytest.raises(InvalidArgument):
        classify(Tensor(TensorType.BOOL, (2,), b"\0\1"), 1, ())


def test_an_output_without_classes() -> None:
    dims, texts = classify(Tensor(TensorType.F32, (2, 0), b""), 3, ())
    assert (dims[0], texts) == (2, [])


def test_packed() -> None:
    assert packed(["ab", "é"]) == b"\x02\0\0\0ab\x02\0\0\0\xc3\xa9"
    assert packed([]) == b""


def test_as_numpy_sorts() -> None:
    values = np.random.default_rng(7).normal(size=50).astype(np.float32)
    _, texts = classify(Tensor(TensorType.F32, (50,), values.tobytes()), 50, ())
    assert [int(text.split(":")[1]) for text in texts] == list(np.argsort(-values, kind="stable"))
