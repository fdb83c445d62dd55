from __future__ import annotations

import pytest

from wasmind.errors import UnknownImport
from wasmind.sandbox import U32, U64, Guest, Interface, from_text, outline
from wasmind.sandbox.imports import check_imports, provided

nn = Interface("wasi_ephemeral_nn")
clock = Interface("wasi_snapshot_preview1")


@nn.function("load_by_name")
def load_by_name(guest: Guest[None], name: U32, length: U32, out: U32) -> U32:
    return 0


@clock.function("clock_time_get")
def clock_time_get(guest: Guest[None], clock_id: U32, precision: U64, out: U32) -> U32:
    return 0


def refusal(*imports: str) -> UnknownImport:
    with pytest.raises(UnknownImport) as caught:
        check_imports(outline(from_text(f"(module {' '.join(imports)})")), (nn, clock))
    return caught.value


def test_what_is_provided_is_accepted() -> None:
    module = """(module
      (import "wasi_ephemeral_nn" "load_by_name" (func (param i32 i32 i32) (result i32)))
      (import "wasi_ephemeral_nn" "load_by_name" (func (param i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "clock_time_get" (func (param i32 i64 i32) (result i32))))"""
    check_imports(outline(from_text(module)), (nn, clock))


def test_every_missing_import_is_named() -> None:
    error = refusal('(import "env" "abort" (func))', '(import "env" "seed" (func (result f64)))')
    assert error.message == "the program has 2 imports that nothing provides"
    assert error.cause == "env.abort does not exist; env.seed does not exist"
    assert "wasi_ephemeral_nn, wasi_snapshot_preview1" in (error.remedy or "")


def test_the_same_name_elsewhere_is_suggested_first() -> None:
    error = refusal('(import "wasi_nn" "load_by_name" (func (param i32 i32 i32) (result i32)))')
    assert error.message == "the program has an import that nothing provides"
    assert error.cause == "wasi_nn.load_by_name does not exist (did you mean wasi_ephemeral_nn.load_by_name?)"


def test_the_nearest_name_is_suggested() -> None:
    error = refusal('(import "wasi_ephemeral_nn" "load_by_nam" (func))')
    assert "did you mean wasi_ephemeral_nn.load_by_name?" in (error.cause or "")


def test_a_type_that_differs_is_shown_with_both_types() -> None:
    error = refusal(
        '(import "wasi_snapshot_preview1" "clock_time_get" (func (param i32 i32 i32) (result i32)))'
    )
    assert error.cause == (
        "wasi_snapshot_preview1.clock_time_get is (i32, i64, i32) -> (i32), "
        "but it is imported as (i32, i32, i32) -> (i32)"
    )


def test_a_type_with_references_is_described() -> None:
    error = refusal('(import "wasi_ephemeral_nn" "load_by_name" (func (param externref)))')
    assert "imported as a function of references or vectors" in (error.cause or "")


@pytest.mark.parametrize(
    ("item", "kind"),
    [("(memory 1)", "memory"), ("(table 1 funcref)", "table"), ("(global i32)", "global")],
)
def test_only_functions_are_provided(item: str, kind: str) -> None:
    error = refusal(f'(import "env" "thing" {item})')
    assert error.cause == f"env.thing is a {kind}, and hosts provide functions only"


def test_a_flood_of_imports_is_cut_short() -> None:
    error = refusal(*(f'(import "env" "f{i}" (func))' for i in range(500)))
    assert "and 480 more" in (error.cause or "")
    assert len(error.cause or "") < 2000


def test_hostile_names_are_shown_escaped_and_short() -> None:
    error = refusal('(import "env" "\\1b[2J\\0a' + "x" * 5000 + '" (func))')
    assert "\x1b" not in (error.cause or "")
    assert "\n" not in (error.cause or "")
    assert len(error.cause or "") < 300


def test_two_interfaces_cannot_provide_the_same_function() -> None:
    other = Interface("wasi_ephemeral_nn")
    other.define("load_by_name", load_by_name, (), None)
    with pytest.raises(ValueError, match="two interfaces provide wasi_ephemeral_nn"):
        provided((nn, other))
    assert len(provided((nn, clock, nn))) == 2
