"""Arrays by input shapes: made once, filled exactly."""

from __future__ import annotations

import numpy as np
import pytest

from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.worker.layout import Layouts, Slot, bytes_of
from wasmind.worker.shapes import Shapes
from wasmind.worker.wire import INLINE

SIGNATURE = Signature(
    (TensorSpec("x", TensorType.F32, ("N", 2)),),
    (TensorSpec("y", TensorType.BF16, ("N",)), TensorSpec("z", TensorType.I64, ("M",))),
)


@pytest.fixture
def layouts() -> Layouts:
    return Layouts(SIGNATURE, Shapes(SIGNATURE))


def test_it_follows_from_the_input_shapes_and_is_made_once(layouts: Layouts) -> None:
    found = layouts.of(((3, 2),))
    assert layouts.of(((3, 2),)) is found
    (x,), (y, z) = found.inputs, found.outputs
    assert (x.dims, x.length) == ((3, 2), 24)
    assert (y.dims, y.length) == ((3,), 6)
    assert (z.dims, z.length, z.array) == (None, 0, None)


def test_where_all_travels_inline_its_arrays_are_at_hand(layouts: Layouts) -> None:
    layouts.of(((3, 2),))
    assert layouts.inline == {}  # the second output's shape is open
    fixed = Signature((TensorSpec("x", TensorType.F32, ("N",)),), (TensorSpec("y", TensorType.F32, ("N",)),))
    made = Layouts(fixed, Shapes(fixed))
    found = made.of(((3,),))
    assert made.inline == {((3,),): found}
    assert made.of(((INLINE,),)) not in made.inline.values()
    found.given_bytes[0][:] = np.arange(3, dtype=np.float32).tobytes()
    assert found.given[0].tolist() == [0, 1, 2]
    assert (len(found.taken), len(found.taken_bytes), found.taken_dims) == (1, 1, ((3,),))


def test_it_does_not_grow_without_end(layouts: Layouts) -> None:
    for size in range(1000):
        layouts.of(((size, 2),))
    assert len(layouts._known) <= 64


@pytest.mark.parametrize("count", [0, 2])
def test_a_wrong_number_of_inputs_is_refused(layouts: Layouts, count: int) -> None:
    with pytest.raises(ValueError, match="zip"):
        layouts.of(((3, 2),) * count)


def test_inline_bytes_fill_the_array() -> None:
    slot = Slot(TensorType.F32, (2, 2))
    array = slot.filled(np.arange(4, dtype=np.float32).tobytes())
    assert array.tolist() == [[0, 1], [2, 3]]
    assert slot.filled(bytes(16)) is array
    assert not array.any()


@pytest.mark.parametrize("length", [0, 15, 17])
def test_a_wrong_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        Slot(TensorType.F32, (2, 2)).filled(bytes(length))


def test_only_what_travels_inline_has_memory() -> None:
    assert Slot(TensorType.U8, (INLINE,)).array is not None
    large = Slot(TensorType.U8, (INLINE + 1,))
    assert large.array is None
    with pytest.raises(ValueError, match="inline"):
        large.filled(bytes(INLINE + 1))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.int32).reshape(2, 3),
        np.float32(2.5).reshape(()),
        np.empty((0, 3)),
        np.arange(9)[::2],
    ],
    ids=["matrix", "scalar", "empty", "strided"],
)
def test_the_bytes_of_any_array(array: np.ndarray) -> None:
    assert bytes(bytes_of(array)) == array.tobytes()


def test_the_bytes_are_in_place() -> None:
    array = np.zeros(2, np.int32)
    bytes_of(array)[0] = 7
    assert array.tolist() == [7, 0]
