from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

import pytest

import wasmind.sandbox as sandbox
from wasmind.sandbox import F32, F64, S32, S64, U32, U64, Interface, Kind, Signature

if TYPE_CHECKING:
    from wasmind.sandbox import Guest

I32, I64, F_32, F_64 = Kind


def test_a_function_is_declared_from_its_annotations() -> None:
    interface = Interface("m")

    @interface.function("f")
    def f(guest: Guest[Any], a: U32, b: S32, c: U64, d: S64, e: F32, g: F64) -> U64:
        return 1

    declared = interface["f"]
    assert str(declared) == "m.f"
    assert declared.signature == Signature((I32, I32, I64, I64, F_32, F_64), (I64,))
    assert [p.name for p in declared.parameters] == ["U32", "S32", "U64", "S64", "F32", "F64"]
    assert not declared.suspends
    assert f(None, 1, 2, 3, 4, 5.0, 6.0) == 1  # type: ignore[arg-type]  # the decorator leaves the function as it is


def test_a_coroutine_function_suspends_and_so_does_one_that_says_so() -> None:
    interface = Interface("m")

    @interface.function("a")
    async def a(guest: Guest[Any]) -> None: ...

    @interface.function("b", suspends=True)
    def b(guest: Guest[Any]) -> U32 | Awaitable[U32]:
        return 1

    @interface.function("c", finishes=True)
    async def c(guest: Guest[Any]) -> sandbox.U32:
        return 1

    @interface.function("d")
    def d(guest: Guest[Any]) -> None: ...

    assert [(f.name, f.suspends, f.finishes) for f in interface] == [
        ("a", True, False),
        ("b", True, False),
        ("c", True, True),
        ("d", False, False),
    ]
    assert [f.signature.results for f in interface] == [(), (I32,), (I32,), ()]


def test_annotations_may_be_objects_as_well_as_text() -> None:
    interface = Interface("m")

    def f(guest, a, b):  # type: ignore[no-untyped-def]
        return a

    f.__annotations__ = {"a": U32, "b": F64, "return": None}
    interface.function("f")(f)
    assert interface["f"].signature == Signature((I32, F_64), ())


def test_what_no_guest_can_pass_is_refused_when_declared() -> None:
    interface = Interface("m")

    def text(guest: Guest[Any], name: str) -> U32:
        return 0

    def nothing(guest: Guest[Any], name: None) -> U32:
        return 0

    def untyped(guest, name) -> U32:  # type: ignore[no-untyped-def]
        return 0

    def star(*values: U32) -> U32:
        return 0

    for function in (text, nothing, untyped, star):
        with pytest.raises(TypeError):
            interface.function("f")(function)
    assert len(interface) == 0


def test_a_name_is_declared_once() -> None:
    interface = Interface("m")
    interface.define("f", lambda guest: None, (), None)
    assert "f" in interface
    with pytest.raises(ValueError, match="is declared already"):
        interface.define("f", lambda guest: None, (), None)


def test_renamed_holds_the_same_functions_under_another_module() -> None:
    interface = Interface("wasi_ephemeral_nn")

    @interface.function("compute")
    async def compute(guest: Guest[Any], context: U32) -> U32:
        return 0

    other = interface.renamed("wasi_nn")
    assert str(other["compute"]) == "wasi_nn.compute"
    assert other["compute"].function is compute
    assert other["compute"].suspends
    assert str(interface["compute"]) == "wasi_ephemeral_nn.compute"


def test_the_callback_is_made_once() -> None:
    interface = Interface("m")
    made = interface.define("f", lambda guest: None, (), None)
    assert made.callback is made.callback
