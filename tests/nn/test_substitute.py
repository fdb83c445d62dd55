"""Which models can do each other's inferences."""

from __future__ import annotations

import pytest

from wasmind.errors import ConfigError
from wasmind.nn.signature import Dim, Signature, TensorSpec
from wasmind.nn.substitute import match
from wasmind.nn.tensor import TensorType

F32, U8 = TensorType.F32, TensorType.U8


def spec(name: str, dims: tuple[Dim, ...] | None = (1, 4), kind: TensorType = F32) -> TensorSpec:
    return TensorSpec(name, kind, dims)


def signature(inputs: list[TensorSpec], outputs: list[TensorSpec] | None = None) -> Signature:
    return Signature(tuple(inputs), tuple(outputs or [spec("y")]))


def test_the_same_signature_keeps_all_places() -> None:
    one = signature([spec("a"), spec("b")])
    assert match(one, one).trivial


def test_the_same_names_in_another_order() -> None:
    model = signature([spec("a"), spec("b", kind=U8)], [spec("y"), spec("z", kind=U8)])
    other = signature([spec("b", kind=U8), spec("a")], [spec("z", kind=U8), spec("y")])
    found = match(model, other)
    assert (found.inputs, found.outputs, found.trivial) == ((1, 0), (1, 0), False)


def test_three_outputs_turned_round() -> None:
    names = ["p", "q", "r"]
    model = signature([spec("x")], [spec(name) for name in names])
    other = signature([spec("x")], [spec(name) for name in ("r", "p", "q")])
    order = match(model, other).outputs
    assert [other.outputs[at].name for at in order] == names


def test_other_names_go_by_position() -> None:
    assert match(signature([spec("input")]), signature([spec("data")], [spec("scores")])).trivial


@pytest.mark.parametrize("dims", [(None, 4), ("N", 4), (1, "C"), None])
def test_what_one_leaves_open_fits(dims: tuple[Dim, ...] | None) -> None:
    model, other = signature([spec("x")]), signature([spec("x", dims)])
    assert match(model, other).trivial
    assert match(other, model).trivial


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (signature([spec("x", (1, 5))]), "1,5"),
        (signature([spec("x", (4,))]), "f32 \\[4\\]"),
        (signature([spec("x", kind=U8)]), "u8"),
        (signature([spec("x"), spec("z")]), "1 inputs and the other 2"),
        (signature([spec("x")], [spec("y"), spec("z")]), "outputs"),
        (signature([spec("x")], [spec("y", (1, 1000))]), "1000"),
    ],
)
def test_what_does_not_fit_is_told(other: Signature, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        match(signature([spec("x")]), other)
