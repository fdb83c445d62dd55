"""Steps that change numbers: each against the same done by hand."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from wasmind.config.convert import Cast, Normalize
from wasmind.errors import ConversionFailed, ModelLoadFailed
from wasmind.nn.signature import TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.worker.conversions import numbers
from wasmind.worker.conversions.stage import Stage
from wasmind.worker.runtimes.base import DTYPES

BF16 = np.dtype(ml_dtypes.bfloat16)


def spec(kind: str, *dims: int | str | None) -> TensorSpec:
    return TensorSpec("x", next(one for one in TensorType if one.value == kind), dims)


def ran(stage: Stage, array: np.ndarray) -> np.ndarray:
    return np.asarray(stage.run(array))


# --- cast -------------------------------------------------------------------------------------------------


def test_bytes_become_floats_with_scale_and_offset() -> None:
    stage = numbers.cast_input(Cast(type="u8", scale=1 / 127.5, offset=-1.0), spec("f32", 1, 4))
    given_ = np.array([[0, 1, 128, 255]], np.uint8)
    assert stage.outer == spec("u8", 1, 4)
    found = ran(stage, given_)
    assert found.dtype == np.float32
    assert np.array_equal(found, given_.astype(np.float32) * np.float32(1 / 127.5) + np.float32(-1))


@pytest.mark.parametrize(
    ("outer", "inner"), [("f32", "f16"), ("f16", "f32"), ("f32", "bf16"), ("bf16", "f32")]
)
def test_floats_are_cast_as_numpy_does(outer: str, inner: str) -> None:
    stage = numbers.cast_input(outer, spec(inner, "N"))  # type: ignore[arg-type]
    values = np.array([0, -1.5, 3.14159, 65000, 1e-3, np.inf, np.nan], DTYPES[stage.outer.type])
    target = DTYPES[spec(inner).type]
    found = ran(stage, values)
    assert found.dtype == target
    assert found.tobytes() == values.astype(target).tobytes()


def test_an_output_is_cast_to_the_declared_type() -> None:
    stage = numbers.cast_output("f32", spec("bf16", 2))
    assert stage.outer == spec("f32", 2)
    assert ran(stage, np.array([1.5, -2], BF16)).tolist() == [1.5, -2.0]


def test_what_does_not_fit_an_integer_is_the_nearest_that_does() -> None:
    stage = numbers.cast_output("u8", spec("f32", "N"))
    values = np.array([-5, 0.5, 1.5, 254.6, 300, np.inf, -np.inf, np.nan], np.float32)
    assert ran(stage, values).tolist() == [0, 0, 2, 255, 255, 255, 0, 0]
    whole = numbers.cast_output("i64", spec("f64", "N"))
    assert ran(whole, np.array([1e30, -1e30])).tolist() == [
        int(np.nextafter(2.0**63, 0)),
        -(2**63),
    ]


@given(
    arrays.arrays(np.int64, st.integers(0, 20)),
    st.sampled_from(["u8", "i8", "i16", "u16", "i32", "u32", "u64", "i64"]),
)
def test_integers_are_held_within_the_narrower_type(values: np.ndarray, kind: str) -> None:
    stage = numbers.cast_output(kind, spec("i64", None))  # type: ignore[arg-type]
    limits = np.iinfo(DTYPES[stage.outer.type])
    wanted = [min(max(value, int(limits.min)), int(limits.max)) for value in values.tolist()]
    assert ran(stage, values).tolist() == wanted


def test_a_bool_is_whether_it_is_not_0() -> None:
    stage = numbers.cast_input("u8", spec("bool", 3))
    assert ran(stage, np.array([0, 1, 7], np.uint8)).tolist() == [False, True, True]
    back = numbers.cast_output("u8", spec("bool", 2))
    assert ran(back, np.array([False, True])).tolist() == [0, 1]


def test_scaling_wide_integers_keeps_their_digits() -> None:
    stage = numbers.cast_input(Cast(type="i32", scale=2.0), spec("f64", 1))
    assert ran(stage, np.array([123_456_789], np.int32)).tolist() == [246_913_578.0]


# --- normalize --------------------------------------------------------------------------------------------

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@pytest.mark.parametrize("dims", [(1, 3, 5, 4), ("N", 5, 4, 3), (3, 5, 4), (5, 4, 3)])
def test_each_channel_is_normalized(dims: tuple[int | str, ...]) -> None:
    stage = numbers.normalize(Normalize(mean=MEAN, std=STD, divide_by=255), spec("f32", *dims))
    shape = tuple(2 if isinstance(dim, str) else dim for dim in dims)
    values = np.random.default_rng(1).integers(0, 256, shape).astype(np.float32)
    channel = shape.index(3)
    moved = np.moveaxis(values, channel, -1)
    by_hand = (moved / np.float32(255) - np.float32(MEAN)) / np.float32(STD)
    assert np.array_equal(ran(stage, values), np.moveaxis(by_hand, -1, channel))


def test_one_mean_for_all_channels() -> None:
    stage = numbers.normalize(Normalize(mean=127, std=128), spec("f16", "N"))
    values = np.array([0, 127, 255], np.float16)
    found = ran(stage, values)
    assert found.dtype == np.float16
    assert np.array_equal(found, ((values.astype(np.float32) - 127) / 128).astype(np.float16))


def test_the_axis_may_be_told() -> None:
    stage = numbers.normalize(Normalize(mean=[1, 2], std=[1, 1], axis=0), spec("f32", "C", 2))
    assert ran(stage, np.array([[5, 5], [5, 5]], np.float32)).tolist() == [[4, 4], [3, 3]]


@pytest.mark.parametrize(
    ("step", "inner", "words"),
    [
        (Normalize(mean=[1, 2, 3]), spec("f32", 1, 4, 4), "no dimension of it is 3 channels"),
        (Normalize(mean=1), spec("u8", 1, 3, 4, 4), "does not take fractions"),
        (Normalize(mean=[1, 2, 3]), TensorSpec("x", TensorType.F32, None), "rank is not known"),
    ],
)
def test_a_normalize_that_does_not_fit_is_refused(step: Normalize, inner: TensorSpec, words: str) -> None:
    with pytest.raises(ModelLoadFailed) as caught:
        numbers.normalize(step, inner)
    assert words in caught.value.explain()


# --- layout and batch -------------------------------------------------------------------------------------


def test_a_function_may_send_channels_last() -> None:
    stage = numbers.layout_input("NHWC", spec("f32", "N", 3, 4, 5))
    assert stage.outer == spec("f32", "N", 4, 5, 3)
    values = np.arange(120, dtype=np.float32).reshape(2, 4, 5, 3)
    found = ran(stage, values)
    assert found.flags.c_contiguous
    assert np.array_equal(found, values.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("layout", ["NHWC", "NCHW", "HWC", "CHW"])
def test_an_output_goes_the_way_back(layout: str) -> None:
    shape = (2, 3, 4, 5)[4 - len(layout) :]
    there = numbers.layout_input(layout, spec("f32", *shape))  # type: ignore[arg-type]
    back = numbers.layout_output(layout, spec("f32", *shape))  # type: ignore[arg-type]
    assert there.outer == back.outer
    values = np.random.default_rng(2).random(there.outer.dims).astype(np.float32)  # type: ignore[arg-type]
    assert ran(there, values).shape == shape
    assert np.array_equal(ran(back, ran(there, values)), values)


def test_a_layout_needs_its_rank() -> None:
    with pytest.raises(ModelLoadFailed, match="layout"):
        numbers.layout_input("NHWC", spec("f32", 3, 4, 5))


def test_a_batch_dimension_is_added_to_an_input() -> None:
    stage = numbers.without_batch(spec("f32", "N", 3))
    assert (stage.outer, stage.one_row) == (spec("f32", 3), True)
    assert ran(stage, np.zeros(3, np.float32)).shape == (1, 3)
    with pytest.raises(ModelLoadFailed, match="add_batch"):
        numbers.without_batch(spec("f32", 8, 3))


def test_a_batch_dimension_is_dropped_from_an_input_and_added_to_an_output() -> None:
    stage = numbers.with_batch(spec("f32", 3), "drop_batch")
    assert stage.outer == spec("f32", 1, 3)
    assert ran(stage, np.zeros((1, 3), np.float32)).shape == (3,)
    assert ran(numbers.with_batch(spec("f32", 3), "add_batch"), np.zeros(3, np.float32)).shape == (1, 3)


def test_a_batch_dimension_is_dropped_from_an_output_of_one_row() -> None:
    stage = numbers.drop_batch_output(spec("f32", "N", 2))
    assert ran(stage, np.ones((1, 2), np.float32)).tolist() == [1, 1]
    with pytest.raises(ConversionFailed, match="there are 2 rows"):
        stage.run(np.ones((2, 2), np.float32))


# --- softmax ----------------------------------------------------------------------------------------------


def test_softmax_sums_up_to_1_and_survives_large_numbers() -> None:
    stage = numbers.softmax(spec("f32", "N", 3))
    found = ran(stage, np.array([[1000, 1000, 1000], [0, 1, 2]], np.float32))
    assert np.allclose(found.sum(axis=-1), 1)
    by_hand = np.exp(np.array([-2, -1, 0], np.float32))
    assert np.array_equal(found[1], by_hand / by_hand.sum())


def test_softmax_of_integers_and_of_halves() -> None:
    assert numbers.softmax(spec("i32", 4)).outer.type is TensorType.F32
    stage = numbers.softmax(spec("f16", 2))
    assert ran(stage, np.zeros(2, np.float16)).dtype == np.float16
    assert ran(stage, np.zeros((0, 2), np.float16)).shape == (0, 2)
    with pytest.raises(ModelLoadFailed):
        numbers.softmax(spec("f32"))


def test_another_number_of_channels_is_the_calls_fault() -> None:
    stage = numbers.normalize(Normalize(mean=[1, 2], axis=1), spec("f32", "N", "C"))
    with pytest.raises(ConversionFailed, match="there are 3 channels, 2 are normalized") as caught:
        stage.run(np.zeros((1, 3), np.float32))
    assert caught.value.remedy == "send 2 channels in dimension 1"
