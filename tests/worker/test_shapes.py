"""Output shapes from input shapes, and what may be batched."""

from __future__ import annotations

import pytest

from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.worker.shapes import Shapes, why_not_batched

F32, U8 = TensorType.F32, TensorType.U8


def signature(inputs: list, outputs: list) -> Signature:
    return Signature(
        tuple(TensorSpec(f"x{i}", kind, dims) for i, (kind, dims) in enumerate(inputs)),
        tuple(TensorSpec(f"y{i}", kind, dims) for i, (kind, dims) in enumerate(outputs)),
    )


def test_fixed_outputs_are_known() -> None:
    found = Shapes(signature([(F32, (1, 4))], [(F32, (1, 3)), (U8, ())])).expect(((1, 4),))
    assert found.dims == ((1, 3), ())
    assert found.lengths == (12, 1)


def test_a_symbol_takes_the_size_that_an_input_gives_it() -> None:
    shapes = Shapes(signature([(F32, ("N", "T")), (F32, ("N",))], [(F32, ("T", "N", 2))]))
    assert shapes.expect(((3, 5), (3,))).dims == ((5, 3, 2),)
    assert shapes.expect(((1, 7), (1,))).lengths == (7 * 1 * 2 * 4,)


def test_what_the_signature_leaves_open_stays_open() -> None:
    shapes = Shapes(signature([(F32, ("N",))], [(F32, ("M",)), (F32, (None, 2)), (F32, None), (F32, (-1,))]))
    found = shapes.expect(((3,),))
    assert found.dims == (None,) * 4
    assert found.lengths == (None,) * 4


def test_an_empty_output_takes_no_bytes() -> None:
    assert Shapes(signature([(F32, ("N",))], [(F32, ("N", 4))])).expect(((0,),)).lengths == (0,)


def test_it_remembers_and_does_not_grow_without_end() -> None:
    shapes = Shapes(signature([(F32, ("N",))], [(F32, ("N",))]))
    assert shapes.expect(((3,),)) is shapes.expect(((3,),))
    for size in range(2000):
        shapes.expect(((size,),))
    assert len(shapes._known) <= 256
    assert shapes.expect(((5,),)).dims == ((5,),)


@pytest.mark.parametrize(
    ("inputs", "outputs", "why"),
    [
        ([("N", 4)], [("N", 3)], None),
        ([(None, 4)], [("M", 3)], None),
        ([("N",), ("N", 2)], [("N",)], None),
        ([(1, 4)], [("N", 3)], "input 'x0'"),
        ([("N", 4)], [(1, 3)], "output 'y0'"),
        ([("N", 4), ()], [("N",)], "input 'x1'"),
        ([("N", 4)], [None], "output 'y0'"),
        ([("N", 4), ("T", 4)], [("N",)], "differ"),
        ([], [("N",)], "no inputs"),
    ],
)
def test_calls_run_together_where_every_first_dimension_is_open(
    inputs: list, outputs: list, why: str | None
) -> None:
    found = why_not_batched(signature([(F32, d) for d in inputs], [(F32, d) for d in outputs]))
    if why is None:
        assert found is None
    else:
        assert found is not None
        assert why in found
