"""Cases as Python values."""

from __future__ import annotations

from typing import Any

import pytest

from wasmind.component.abi.values import Err, Ok, Some
from wasmind.component.abi.variants import Cased, chooser, constants, makers
from wasmind.component.types import Case, EnumType, Option, Primitive, Result, Variant

U8 = Primitive.U8
VARIANT = Variant((Case("a"), Case("b", U8), Case("c", U8)))


@pytest.mark.parametrize(
    ("kind", "value", "case", "payload"),
    [
        (VARIANT, "a", 0, None),
        (VARIANT, ("c", 7), 2, 7),
        (EnumType(("x", "y")), "y", 1, None),
        (Option(U8), None, 0, None),
        (Option(U8), 0, 1, 0),
        (Option(Option(U8)), Some(None), 1, None),
        (Option(Option(U8)), Some(Some(1)), 1, Some(1)),
        (Result(U8, U8), Ok(1), 0, 1),
        (Result(U8, U8), Err(1), 1, 1),
        (Result(Result(), U8), Ok(Err(None)), 0, Err(None)),
    ],
)
def test_there_and_back(kind: Cased, value: Any, case: int, payload: Any) -> None:
    assert chooser(kind)(value) == (case, payload)
    made = constants(kind)[case] if payload is None and value != Some(None) else makers(kind)[case](payload)
    assert made == value


def test_plain_values_are_some_and_ok() -> None:
    assert chooser(Option(U8))(5) == (1, 5)
    assert chooser(Result(U8, U8))(5) == (0, 5)
    assert chooser(Result(None, U8))(None) == (0, None)


def test_as_many_as_cases() -> None:
    for kind in (VARIANT, EnumType(("x",)), Option(U8), Result()):
        assert len(constants(kind)) == len(makers(kind))
