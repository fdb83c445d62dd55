from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wasmind.errors import GuestTrap, LimitExceeded, Overloaded
from wasmind.sandbox import ffi
from wasmind.sandbox.trap import explain_error, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.sandbox import Desk
    from wasmind.sandbox import Guest, Program

    Make = Callable[..., Guest[Desk]]


async def trap(make: Make, program: Program | None, export: str, *values: int) -> GuestTrap:
    guest = make(None, program)
    await guest.start()
    with pytest.raises(GuestTrap) as caught:
        await guest.call(export, *values)
    return caught.value


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("(unreachable)", "`unreachable` was executed"),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0)))", "integer division by zero"),
        ("(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))", "integer overflow"),
        ("(drop (i32.trunc_f32_u (f32.const nan)))", "a conversion of a number"),
        ("(drop (i32.load (i32.const 65536)))", "out-of-bounds memory access"),
        ("(drop (i32.load offset=0xffffffff (i32.const 0xffffffff)))", "out-of-bounds memory access"),
        ("(call_indirect (i32.const 1))", "an indirect call through a null function"),
        ("(call_indirect (i32.const 9))", "out-of-bounds table access"),
        ("(call_indirect (param i32) (i32.const 1) (i32.const 0))", "an indirect call of the wrong type"),
    ],
)
async def test_each_trap_is_named(load: Callable[..., Program], make: Make, body: str, message: str) -> None:
    program = load(
        f"""(module (memory 1) (table 2 funcref) (elem (i32.const 0) $f) (func $f)
              (func $inner {body}) (func (export "_start") (call $inner)))"""
    )
    error = await trap(make, program, "_start")
    assert error.message == f"the function trapped: {message}" or error.message.startswith(
        f"the function trapped: {message}"
    )
    assert "inner" in (error.cause or "")


async def test_deep_recursion_is_a_trap_with_a_short_trace(make: Make) -> None:
    error = await trap(make, None, "deep", 1)
    assert "the call stack is exhausted" in error.message
    assert "more" in (error.cause or "")
    assert len(error.cause or "") < 2000


async def test_names_in_a_trace_are_escaped(load: Callable[..., Program], make: Make) -> None:
    program = load('(module (func $"evil\\1b[31m\\0aname" (unreachable)) (export "_start" (func 0)))')
    error = await trap(make, program, "_start")
    assert "\\x1b[31m\\nname" in (error.cause or "")
    assert "\x1b" not in (error.cause or "")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("maximum concurrent core instance limit of 5 reached", Overloaded),
        ("memory minimum size of 9 pages exceeds memory limits", LimitExceeded),
        ("table minimum size of 9 elements exceeds table limits", LimitExceeded),
        ("mmap failed to allocate 0x1000 bytes", Overloaded),
        ("something else", GuestTrap),
    ],
)
def test_errors_of_the_engine_become_ours(text: str, kind: type[Exception]) -> None:
    error = explain_error(ffi.error_new(text.encode()))
    assert type(error) is kind
    assert error.cause == text


def test_text_of_a_guest_is_shown_on_one_short_line() -> None:
    assert printable("plain é") == "plain é"
    assert printable("a\x1b\n\x00b") == "a\\x1b\\n\\x00b"
    assert len(printable("x" * 10_000)) < 200
