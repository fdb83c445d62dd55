"""The Python helper's tensors, which need no component: guests/python/wasmind_guest/tensor.py."""

from __future__ import annotations

import runpy
from array import array
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from support.guests import ROOT

MODULE = runpy.run_path(str(ROOT / "guests" / "python" / "wasmind_guest" / "tensor.py"))
Tensor, tensor = MODULE["Tensor"], MODULE["tensor"]


def told(found: Any) -> tuple[str, tuple[int, ...], bytes]:
    return found.type, found.shape, found.data


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "uint8", "int32", "int64"])
def test_numpy_arrays_keep_type_and_shape(kind: str) -> None:
    given = np.arange(6).astype(kind).reshape(2, 3)
    found = tensor(given)
    name = {"u": "u", "i": "i", "f": "f"}[given.dtype.kind] + str(given.dtype.itemsize * 8)
    assert told(found) == (name, (2, 3), given.tobytes())
    assert found.tolist() == given.tolist()
    assert np.array_equal(found.numpy(), given)
    assert found.numpy().dtype == given.dtype


def test_an_array_that_lies_in_another_order_is_put_in_order() -> None:
    given = np.arange(6, dtype="f4").reshape(2, 3).T
    assert tensor(given).tolist() == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize(
    ("code", "kind"), [("f", "f32"), ("d", "f64"), ("B", "u8"), ("i", "i32"), ("q", "i64")]
)
def test_arrays_go_there_and_back(code: str, kind: str) -> None:
    given = array(code, [1, 2, 3])
    found = tensor(given)
    assert (found.type, found.shape, found.array()) == (kind, (3,), given)


def test_bytes_are_u8_unless_a_type_says_how_to_read_them() -> None:
    data = np.float32([1, 2]).tobytes()
    assert told(tensor(data)) == ("u8", (8,), data)
    assert tensor(data, "f32").tolist() == [1, 2]
    assert tensor(memoryview(data), "f32", (2, 1)).tolist() == [[1], [2]]
    with pytest.raises(ValueError, match="7 bytes are no whole number of f32"):
        tensor(data[:7], "f32")


@pytest.mark.parametrize(
    ("value", "shape"),
    [(3, ()), (2.5, ()), ([], (0,)), ([1, 2], (2,)), ([[1, 2, 3]], (1, 3)), ([[[1]], [[2]]], (2, 1, 1))],
)
def test_numbers_become_f32(value: Any, shape: tuple[int, ...]) -> None:
    found = tensor(value)
    assert told(found) == ("f32", shape, np.float32(value).tobytes())
    assert found.tolist() == value


def test_brain_floats() -> None:
    numbers = [1.0, -2.5, 0.15625]
    found = tensor(numbers, "bf16")
    assert found.data == np.array(numbers).astype(ml_dtypes.bfloat16).tobytes()
    assert found.flat() == numbers
    assert found.numpy().tolist() == numbers
    with pytest.raises(ValueError, match="has no bf16"):
        found.array()


@pytest.mark.parametrize("value", [[[1], [2, 3]], [[1], 2], [[1, 2], []]])
def test_rows_of_unequal_length(value: Any) -> None:
    with pytest.raises(ValueError, match="the same length"):
        tensor(value)


@pytest.mark.parametrize(("value", "kind"), [(["a"], "f32"), ([300], "u8"), ([1.5], "i32"), ([1e39], "f16")])
def test_what_is_no_number_of_the_type(value: Any, kind: str) -> None:
    with pytest.raises((ValueError, OverflowError)):
        tensor(value, kind)


def test_a_type_that_does_not_exist() -> None:
    for make in (lambda: tensor([1], "f8"), lambda: tensor(b"1", "f8"), lambda: Tensor("f8", (1,), b"1")):
        with pytest.raises(ValueError, match="f8"):
            make()


def test_a_tensor_is_taken_as_it_is_but_not_for_another_type() -> None:
    given = tensor([1, 2])
    assert tensor(given) is given
    with pytest.raises(ValueError, match="f32, not u8"):
        tensor(given, "u8")


def test_shapes() -> None:
    given = tensor(list(range(6)))
    assert given.reshape(2, -1).shape == (2, 3)
    assert given.reshape(-1).shape == (6,)
    assert len(given) == 6
    assert bytes(given) == given.data
    assert repr(given) == "Tensor(f32 [6])"
    for wrong in [(4, -1), (-1, -1), (7,), (0, -1)]:
        with pytest.raises(ValueError, match=r"do not fit|told by the others"):
            given.reshape(*wrong)
    with pytest.raises(ValueError, match="takes 8 bytes, but there are 3"):
        Tensor("f32", (2,), b"123")


def test_buffers_that_are_no_tensors() -> None:
    with pytest.raises(ValueError, match="is no tensor"):
        tensor(np.array([1 + 2j]))
    with pytest.raises(TypeError):
        tensor(object())
