"""The small modules between component instances are valid, and say what they import."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.components import validate
from wasmind.component.adapters import (
    CALL,
    NOTHING,
    adapter_module,
    adapter_types,
    drop_module,
    forward_module,
)
from wasmind.component.core.module import Kind, read_module
from wasmind.component.core.types import CoreFunction

values = st.sampled_from(["i32", "i64", "f32", "f64"])
params = st.lists(values, max_size=16).map(tuple)


def test_the_host_sees_what_the_caller_gives_and_what_the_callee_returns() -> None:
    caller, callee = CoreFunction(("i32", "i64", "i32"), ()), CoreFunction(("i32", "i32", "i64"), ("i32",))
    enter, leave = adapter_types(caller, callee)
    assert enter == CoreFunction(("i32", "i64", "i32"), ("i32", "i32", "i64"))
    assert leave == CoreFunction(("i32", "i32"), ())


def test_a_single_result_is_handed_through() -> None:
    kind = CoreFunction(("f64",), ("f32",))
    assert adapter_types(kind, kind) == (CoreFunction(("f64",), ("f64",)), CoreFunction(("f32",), ("f32",)))


def test_a_call_from_the_host_has_no_return_pointer() -> None:
    enter, leave = adapter_types(NOTHING, CoreFunction(("i32",), ("i32",)))
    assert enter == CoreFunction((), ("i32",))
    assert leave == CoreFunction(("i32",), ())


@settings(max_examples=15, deadline=None)
@given(params, params, values, st.booleans(), st.booleans(), st.booleans())
def test_adapters_are_valid(
    given_: tuple[str, ...], taken: tuple[str, ...], result: str, returned: bool, pointer: bool, post: bool
) -> None:
    results = (result,) if returned else ()
    callee = CoreFunction(taken, results)
    caller = CoreFunction((*given_, "i32"), ()) if pointer else CoreFunction(given_, results)
    wasm = adapter_module(caller, callee, post_return=post)
    assert validate(wasm) == ""
    module = read_module(wasm)
    names = ["enter", "callee", "leave", *(["post-return", "exit"] if post else [])]
    assert [item.name for item in module.imports] == names
    assert module.export_types() == {CALL: caller}


@pytest.mark.parametrize("wasm", [drop_module(), forward_module(CoreFunction(("i32", "f32"), ("i64",)))])
def test_the_other_modules_are_valid(wasm: bytes) -> None:
    assert validate(wasm) == ""
    assert read_module(wasm).exports[CALL][0] is Kind.FUNC
