from __future__ import annotations

from math import prod

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from wasmind.errors import InvalidTensor, NnCode
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import MAX_RANK, Tensor, TensorType
from wasmind.nn.validation import (
    CARRIERS,
    check,
    check_bools,
    check_rank,
    check_symbols,
    fits,
)

F32, U8, F16, I32, I64, BOOL = (
    TensorType.F32,
    TensorType.U8,
    TensorType.F16,
    TensorType.I32,
    TensorType.I64,
    TensorType.BOOL,
)
IMAGE = TensorSpec("data", F32, ("N", 3, 224, 224))

types = st.sampled_from(TensorType)
sizes = st.integers(1, 64)
shapes = st.lists(sizes, max_size=5).map(tuple)
words = st.integers(0, 2**32 - 1)


def spec_of(type_: TensorType, dims: tuple[int | str | None, ...] | None) -> TensorSpec:
    return TensorSpec("x", type_, dims)


@given(types, shapes)
def test_what_is_declared_fits(type_: TensorType, dims: tuple[int, ...]) -> None:
    check(spec_of(type_, dims), type_, dims, prod(dims) * type_.size)


@given(types, shapes, st.data())
def test_open_dimensions_take_any_size(type_: TensorType, dims: tuple[int, ...], data: st.DataObject) -> None:
    declared = tuple(data.draw(st.sampled_from([dim, "N", None])) for dim in dims)
    check(spec_of(type_, declared), type_, dims, prod(dims) * type_.size)
    check(spec_of(type_, None), type_, dims, prod(dims) * type_.size)


@given(types, shapes, st.integers(0, 2**33))
def test_a_wrong_length_never_passes(type_: TensorType, dims: tuple[int, ...], length: int) -> None:
    need = prod(dims) * type_.size
    assume(length != need)
    with pytest.raises(InvalidTensor) as caught:
        check(spec_of(type_, dims), type_, dims, length)
    assert str(need) in caught.value.explain()
    assert str(length) in caught.value.explain()


@pytest.mark.parametrize("off", [-1, 1])
def test_one_byte_off_is_called_so(off: int) -> None:
    with pytest.raises(InvalidTensor, match=r"expected f32 \[2,3\]") as caught:
        check(spec_of(F32, (2, 3)), F32, (2, 3), 24 + off)
    assert "one byte " + ("short" if off < 0 else "long") in str(caught.value.cause)


@given(types, types, shapes)
def test_another_type_never_passes(want: TensorType, got: TensorType, dims: tuple[int, ...]) -> None:
    assume(want is not got and CARRIERS.get(want) is not got)
    with pytest.raises(InvalidTensor) as caught:
        check(spec_of(want, dims), got, dims, prod(dims) * got.size)
    assert str(want) in caught.value.message
    assert str(got) in caught.value.message
    assert caught.value.remedy


@given(shapes, shapes)
def test_other_fixed_dimensions_never_pass(want: tuple[int, ...], got: tuple[int, ...]) -> None:
    assume(want != got)
    with pytest.raises(InvalidTensor) as caught:
        check(spec_of(F32, want), F32, got, prod(got) * 4)
    assert caught.value.cause
    assert caught.value.remedy


@given(st.lists(words, max_size=MAX_RANK).map(tuple), words)
def test_any_dimensions_are_held_against_the_length_without_wrapping(
    dims: tuple[int, ...], length: int
) -> None:
    """A product beyond 64 bits is compared as the integer it is."""
    assume(prod(dims) * 4 != length or 0 in dims)
    with pytest.raises(InvalidTensor):
        check(spec_of(F32, None), F32, dims, length)


def test_a_product_that_wraps_to_the_length_is_refused() -> None:
    dims = (2**31, 2**31, 4)  # 2**64 elements: 0 bytes in 64 bits
    with pytest.raises(InvalidTensor):
        check(spec_of(U8, None), U8, dims, 0)
    with pytest.raises(InvalidTensor):
        check(spec_of(U8, ("a", "b", "c")), U8, (2**32 - 1, 2**32 - 1, 1), 1)


@pytest.mark.parametrize("declared", [("N", 3), (None, 3), (2, 3)])
def test_an_empty_tensor_is_refused(declared: tuple[int | str | None, ...]) -> None:
    with pytest.raises(InvalidTensor) as caught:
        check(spec_of(F32, declared), F32, (0, 3), 0)
    assert "0" in str(caught.value.cause)


def test_an_empty_tensor_of_unknown_shape_is_refused() -> None:
    with pytest.raises(InvalidTensor, match="any shape"):
        check(spec_of(F32, None), F32, (0,), 0)


def test_an_empty_tensor_passes_where_the_model_declares_it() -> None:
    check(spec_of(F32, (0, 3)), F32, (0, 3), 0)


def test_a_scalar_has_no_dimensions() -> None:
    check(spec_of(F32, ()), F32, (), 4)
    with pytest.raises(InvalidTensor):
        check(spec_of(F32, ()), F32, (1,), 4)


@pytest.mark.parametrize("rank", [MAX_RANK + 1, 10**6, 2**32 - 1])
def test_a_rank_beyond_every_framework_is_refused(rank: int) -> None:
    with pytest.raises(InvalidTensor, match=str(rank)):
        check_rank(rank)


@pytest.mark.parametrize("rank", range(MAX_RANK + 1))
def test_every_rank_up_to_the_limit_passes(rank: int) -> None:
    check_rank(rank)
    check(spec_of(U8, None), U8, (1,) * rank, 1)


def test_a_high_rank_of_unknown_shape_is_refused() -> None:
    with pytest.raises(InvalidTensor):
        check(spec_of(U8, None), U8, (1,) * (MAX_RANK + 1), 1)


def test_the_refusal_is_an_invalid_argument_for_the_guest() -> None:
    with pytest.raises(InvalidTensor) as caught:
        check(IMAGE, F32, (1, 224, 224, 3), 602112)
    error = caught.value
    assert error.nn_code is NnCode.INVALID_ARGUMENT
    assert error.message == (
        'input "data": expected f32 [N,3,224,224], got f32 [1,224,224,3] in 602112 bytes'
    )
    assert error.cause == "this looks like NHWC for an NCHW model"
    assert error.remedy == (
        "move the channels before height and width and send [1,3,224,224]; "
        'or declare convert = [{ layout = "NHWC" }] in [models.NAME.inputs.data]'
    )


def test_the_bytes_are_looked_at_to_explain_a_refusal() -> None:
    jpeg = memoryview(b"\xff\xd8\xff\xe0" + bytes(1000))
    with pytest.raises(InvalidTensor, match=r"got u8 \[1004\]") as caught:
        check(IMAGE, U8, (1004,), 1004, jpeg)
    assert "a JPEG image as it is in its file" in str(caught.value.cause)
    assert 'convert = ["image"] in [models.NAME.inputs.data]' in str(caught.value.remedy)


# --- types that no ABI can name ---------------------------------------------------------------------------


@pytest.mark.parametrize(("want", "carrier"), CARRIERS.items())
def test_a_type_without_a_number_is_carried_by_one_of_its_width(
    want: TensorType, carrier: TensorType
) -> None:
    assert want.size == carrier.size
    check(spec_of(want, (2, 2)), carrier, (2, 2), 4 * want.size)
    check(spec_of(want, (2, 2)), want, (2, 2), 4 * want.size)


def test_a_carrier_goes_one_way() -> None:
    with pytest.raises(InvalidTensor):
        check(spec_of(U8, (2,)), BOOL, (2,), 2)


def test_every_type_can_be_sent_by_its_own_number_or_a_carriers() -> None:
    named = {F16, F32, TensorType.F64, U8, I32, I64}
    assert {type_ for type_ in TensorType if type_ not in named} == set(CARRIERS)
    assert set(CARRIERS.values()) <= named


@given(st.binary(max_size=64))
def test_a_bool_is_0_or_1(data: bytes) -> None:
    spec = spec_of(BOOL, None)
    if set(data) <= {0, 1}:
        check_bools(spec, data)
        check_bools(spec, memoryview(data))
    else:
        with pytest.raises(InvalidTensor, match="bool"):
            check_bools(spec, data)


def test_other_types_hold_any_byte() -> None:
    check_bools(spec_of(U8, None), b"\xff")


# --- several inputs ---------------------------------------------------------------------------------------


def tensors(*shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    return tuple(Tensor(F32, dims, bytes(4 * prod(dims))) for dims in shapes)


def signature(*shapes: tuple[int | str | None, ...] | None) -> Signature:
    return Signature(tuple(TensorSpec("abc"[i], F32, dims) for i, dims in enumerate(shapes)), ())


def test_one_symbol_is_one_size() -> None:
    check_symbols(signature(("N", 3), ("N", "M")), tensors((2, 3), (2, 9)))
    with pytest.raises(
        InvalidTensor, match=r'the dimension N is 2 in input "a" and 4 in input "b"'
    ) as caught:
        check_symbols(signature(("N", 3), ("N", "M")), tensors((2, 3), (4, 9)))
    assert caught.value.remedy == "give both inputs the same N"


def test_one_symbol_is_one_size_within_an_input() -> None:
    with pytest.raises(InvalidTensor, match="the dimension N"):
        check_symbols(signature(("N", "N")), tensors((2, 3)))


def test_unknown_dimensions_and_shapes_are_free() -> None:
    check_symbols(signature((None, 3), (None, 3), None), tensors((2, 3), (4, 3), (7,)))


@given(st.lists(st.one_of(sizes, st.just("N"), st.none()), max_size=4), st.lists(words, max_size=4))
def test_fits_agrees_with_its_definition(want: list[int | str | None], got: list[int]) -> None:
    same = len(want) == len(got) and all(
        g == w if isinstance(w, int) else g > 0 for w, g in zip(want, got, strict=False)
    )
    assert fits(want, got) == same
