from __future__ import annotations

import asyncio
import ctypes
import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wasmind.config import Limits
from wasmind.errors import GuestTrap, MemoryFault
from wasmind.sandbox import F32, F64, S32, S64, U32, U64, Engine, Guest, Interface, Kind, Program
from wasmind.sandbox.binding import Frames, Wait, current

if TYPE_CHECKING:
    from collections.abc import Callable

VALUES = {
    "U32": st.integers(0, 2**32 - 1),
    "S32": st.integers(-(2**31), 2**31 - 1),
    "U64": st.integers(0, 2**64 - 1),
    "S64": st.integers(-(2**63), 2**63 - 1),
    "F32": st.floats(width=32, allow_nan=False),
    "F64": st.floats(allow_nan=False),
}
ALIASES: dict[str, Any] = {"U32": U32, "S32": S32, "U64": U64, "S64": S64, "F32": F32, "F64": F64}
KINDS = {"U32": "i32", "S32": "i32", "U64": "i64", "S64": "i64", "F32": "f32", "F64": "f64"}
TYPES = tuple(KINDS)


def echoing(name: str, waits: bool) -> Interface:
    """A function that answers its last parameter, after one of each type."""
    interface = Interface("host")

    def echo(guest: Guest[list[Any]], *values: Any) -> Any:
        guest.host.append(values)
        return values[-1]

    async def echo_later(guest: Guest[list[Any]], *values: Any) -> Any:
        await asyncio.sleep(0)
        return echo(guest, *values)

    from wasmind.sandbox.values import scalar

    scalars = tuple(s for n in (*TYPES, name) if (s := scalar(ALIASES[n])))
    interface.define("echo", echo_later if waits else echo, scalars, scalars[-1], suspends=waits)
    return interface


@pytest.fixture(scope="module")
def echoes(load: Callable[..., Program]) -> dict[tuple[str, bool], Program]:
    made = {}
    for name in TYPES:
        kinds = [KINDS[n] for n in (*TYPES, name)]
        gets = " ".join(f"(local.get {i})" for i in range(len(kinds)))
        module = f"""(module
          (import "host" "echo" (func $echo (param {" ".join(kinds)}) (result {kinds[-1]})))
          (func (export "echo") (param {" ".join(kinds)}) (result {kinds[-1]}) (call $echo {gets})))"""
        for waits in (False, True):
            made[name, waits] = load(module, [echoing(name, waits)])
    return made


@settings(deadline=None)
@given(
    values=st.tuples(*VALUES.values()),
    last=st.one_of(*(st.tuples(st.just(n), s) for n, s in VALUES.items())),
    waits=st.booleans(),
)
def test_values_of_every_type_arrive_and_return_as_they_are(
    echoes: dict[tuple[str, bool], Program], values: tuple[Any, ...], last: tuple[str, Any], waits: bool
) -> None:
    name, value = last

    async def run() -> tuple[Any, list[Any]]:
        guest = Guest(echoes[name, waits], Limits(), [])
        await guest.start()
        (result,) = await guest.call("echo", *values, value)
        guest.close()
        return result, guest.host

    result, seen = asyncio.run(run())
    assert seen == [(*values, value)]
    code = {"i32": "I", "i64": "Q"}.get(KINDS[name])
    assert result == (value % 2 ** (8 * struct.calcsize(code)) if code else value)


async def test_results_out_of_range_are_failures_not_wraps(load: Callable[..., Program]) -> None:
    for answer in (-1, 2**32, 2**64):
        interface = Interface("host")
        interface.define("f", lambda guest, answer=answer: answer, (), echoing("U32", False)["echo"].results)
        program = load('(module (import "host" "f" (func (result i32))) (export "f" (func 0)))', [interface])
        guest: Guest[None] = Guest(program, Limits(), None)
        await guest.start()
        with pytest.raises(GuestTrap, match="failed"):
            await guest.call("f")


async def test_a_function_without_a_result_may_wait(load: Callable[..., Program]) -> None:
    interface = Interface("host")

    @interface.function("pause")
    async def pause(guest: Guest[list[Any]], answer: U32) -> None:
        await asyncio.sleep(0)
        guest.host.append(answer)
        return answer or None  # type: ignore[return-value]  # a wrong answer is what one call below wants

    module = """(module (import "host" "pause" (func $pause (param i32)))
      (func (export "pause") (param i32) (call $pause (local.get 0))))"""
    program = load(module, [interface])
    guest: Guest[list[Any]] = Guest(program, Limits(), [])
    await guest.start()
    assert await guest.call("pause", 0) == ()
    with pytest.raises(GuestTrap) as caught:
        await guest.call("pause", 5)
    assert "answers nothing, but got 5" in (caught.value.cause or "")
    assert guest.host == [0, 5]


async def test_finishing_on_the_fiber_may_fail(load: Callable[..., Program]) -> None:
    interface = Interface("host")

    @interface.function("finish", finishes=True)
    async def finish(guest: Guest[None], how: U32) -> U32:
        await asyncio.sleep(0)
        if how == 1:
            return lambda: 1 // 0  # type: ignore[return-value]  # what is awaited gives a function
        if how == 2:
            return 5
        return lambda: "text"  # type: ignore[return-value]

    module = """(module (import "host" "finish" (func $finish (param i32) (result i32)))
      (func (export "finish") (param i32) (result i32) (call $finish (local.get 0))))"""
    program = load(module, [interface])
    for how, cause in ((1, "ZeroDivisionError"), (2, "TypeError"), (3, "error")):
        guest: Guest[None] = Guest(program, Limits(), None)
        await guest.start()
        with pytest.raises(GuestTrap) as caught:
            await guest.call("finish", how)
        assert cause in (caught.value.cause or "")


@pytest.mark.parametrize("waits", [False, True])
async def test_an_interface_may_answer_a_number_for_a_bad_pointer(
    load: Callable[..., Program], waits: bool
) -> None:
    module = """(module (import "host" "touch" (func $touch (param i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "touch") (param i32) (result i32) (call $touch (local.get 0))))"""
    for on_fault in (None, 21):
        interface = Interface("host", on_fault=on_fault)

        @interface.function("touch", suspends=waits)
        def touch(guest: Guest[None], pointer: U32) -> U32:
            return guest.memory.u32(pointer)

        guest: Guest[None] = Guest(load(module, [interface]), Limits(), None)
        await guest.start()
        assert await guest.call("touch", 65532) == (0,)
        if on_fault is None:
            with pytest.raises(MemoryFault):
                await guest.call("touch", 65533)
        else:
            assert await guest.call("touch", 65533) == (21,)
            assert interface.renamed("other").on_fault == 21
        guest.close()


def test_no_guest_is_current_outside_a_poll(engine: Engine) -> None:
    assert current.guest is None


def test_arrays_are_found_again_by_address_and_bounded() -> None:
    frames = Frames(4)
    buffer = ctypes.create_string_buffer(b"abcdefgh")
    at = ctypes.addressof(buffer)
    assert frames[at] is frames[at]
    assert bytes(frames[at + 2]) == b"cdef"
    for address in range(at, at + 20_000):
        frames[address]
    assert len(frames) <= 8192


def test_what_is_waited_for_must_be_awaitable_and_is_disposed_of() -> None:
    declared = echoing("U32", False)["echo"]
    with pytest.raises(TypeError, match="no number and cannot be awaited"):
        Wait(declared, "text", 0, 0, lambda address, value: None)

    async def never() -> None: ...

    coroutine = never()
    Wait(declared, coroutine, 0, 0, lambda address, value: None).dispose()
    with pytest.raises(RuntimeError, match="cannot reuse"):
        coroutine.send(None)


def test_kinds_follow_the_types() -> None:
    assert [str(k) for k in Kind] == ["i32", "i64", "f32", "f64"]
