"""Where outputs go: inline while they are small and known to be, else to places of their own."""

from __future__ import annotations

import pytest

from wasmind.backends.plan import Plan, planned
from wasmind.worker.shapes import Expected
from wasmind.worker.wire import INLINE, MAX_INLINE

LARGE = INLINE + 1


def test_outputs_that_are_known_and_small_are_foreseen_whole() -> None:
    assert planned(Expected(((2,), (1, 3)), (8, 12))) == Plan((), ((2,), (1, 3)), (8, 12))


@pytest.mark.parametrize(
    ("lengths", "wanted"),
    [
        ((LARGE,), (LARGE,)),
        ((8, LARGE), (0, LARGE)),
        ((None, LARGE), (0, LARGE)),
        ((8, None), ()),
        ((), ()),
    ],
)
def test_an_output_has_a_place_where_it_is_known_to_be_large(
    lengths: tuple[int | None, ...], wanted: tuple[int, ...]
) -> None:
    assert planned(Expected((None,) * len(lengths), lengths)).wanted == wanted


def test_small_outputs_have_places_when_there_are_too_many_of_them() -> None:
    fit = MAX_INLINE // INLINE
    lengths = (INLINE,) * (fit + 2)
    assert planned(Expected((None,) * len(lengths), lengths)).wanted == (0,) * fit + (INLINE,) * 2
