"""Pages that every guest of a program writes to are made ready when it starts, and nothing else changes."""

from __future__ import annotations

import resource
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.guests import BUILT
from wasmind.config import Limits, Size
from wasmind.sandbox import Guest, Program, compile_program_now, from_text
from wasmind.sandbox import pages as pages_module
from wasmind.sandbox.pages import FEWEST, LESSONS, joined

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wasmind.sandbox import Engine

PAGE = 4096
LIMITS = Limits(cpu_ms=5_000, memory=Size(64 << 20))
WRITER = """(module
  (memory (export "memory") 64)
  (data (i32.const 262144) "image")
  (func (export "write") (param $first i32) (param $count i32)
    (loop $again
      (i32.store8 offset=7 (local.get $first)
        (i32.add (i32.load8_u offset=7 (local.get $first)) (i32.const 1)))
      (local.set $first (i32.add (local.get $first) (i32.const 8192)))
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))
      (br_if $again (local.get $count))))
  (func (export "grow") (result i32) (memory.grow (i32.const 16)))
  (func (export "fail") unreachable))"""


@pytest.fixture
def program(engine: Engine) -> Iterator[Program]:
    artifact = compile_program_now(from_text(WRITER), BUILT / "artifacts", [])
    program = Program.load(engine, artifact, [])
    yield program
    program.close()


async def run(program: Program, first: int = PAGE * 64, count: int = 200) -> int:
    """Let a guest write to `count` pages, every second one; how many faults it took."""
    return (await run_and_look(program, first, count, look=False))[0]


async def run_and_look(
    program: Program, first: int = PAGE * 64, count: int = 200, *, look: bool = True
) -> tuple[int, bytes]:
    """As `run`; and the guest's memory, whose pages are all there once they were looked at."""
    guest: Guest[Any] = Guest(program, LIMITS, None)
    await guest.start()
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    await guest.call("write", first, count)
    faults = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before
    memory = guest.memory.read(0, guest.memory.size) if look else b""
    guest.close()
    return faults, memory


def expected(first: int, count: int) -> bytes:
    memory = bytearray(64 << 16)
    memory[262144:262149] = b"image"
    for at in range(first, first + count * 2 * PAGE, 2 * PAGE):
        memory[at + 7] += 1
    return bytes(memory)


async def test_pages_are_made_ready_after_the_lessons(program: Program) -> None:
    cold = 0
    for _ in range(LESSONS):
        assert not program.pages.ready
        cold = await run(program)
    assert program.pages.ready
    warm, memory = await run_and_look(program)
    assert memory == expected(PAGE * 64, 200), "each guest begins with the program's own memory"
    assert cold >= 150
    assert warm < cold / 4


async def test_only_what_all_of_them_wrote_is_made_ready(program: Program) -> None:
    for count in (300, 200, 400)[:LESSONS]:
        await run(program, count=count)
    assert program.pages.ready
    few = await run(program)
    more, memory = await run_and_look(program, PAGE * 64, 400)
    assert more - few >= 150
    assert memory == expected(PAGE * 64, 400)


async def test_a_program_that_writes_little_is_left_alone(program: Program) -> None:
    for _ in range(LESSONS):
        await run(program, count=FEWEST // 4)
    assert not program.pages.ready
    assert not program.pages.left


async def test_pages_that_are_only_read_are_left_alone(program: Program) -> None:
    for _ in range(LESSONS):
        await run_and_look(program, count=FEWEST // 4)
    assert not program.pages.ready


async def test_guests_that_fail_teach_nothing(program: Program) -> None:
    for _ in range(LESSONS):
        guest: Guest[Any] = Guest(program, LIMITS, None)
        await guest.start()
        with pytest.raises(Exception, match="trapped"):
            await guest.call("fail")
    assert program.pages.left


async def test_what_a_guest_grows_is_not_made_ready(program: Program) -> None:
    for _ in range(LESSONS + 1):
        guest: Guest[Any] = Guest(program, LIMITS, None)
        await guest.start()
        assert await guest.call("grow") == (64,)
        await guest.call("write", PAGE * 64, 480)
        guest.close()
    assert program.pages.ready
    assert (await run_and_look(program))[1] == expected(PAGE * 64, 200)


async def test_where_the_system_refuses_guests_run_as_before(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_module, "_syscall", lambda *_: -1)
    for _ in range(LESSONS + 2):
        assert (await run_and_look(program))[1] == expected(PAGE * 64, 200)
    assert not program.pages.ready


async def test_where_the_page_map_cannot_be_read_nothing_is_learned(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(pages_module.os, "open", refuse)
    await run(program)
    assert not program.pages.left
    assert not program.pages.ready


@given(st.sets(st.integers(0, 2_000)))
def test_ranges_hold_all_pages_and_bridge_single_gaps(numbers: set[int]) -> None:
    ranges = joined(sorted(numbers))
    covered = {number for first, count in ranges for number in range(first, first + count)}
    assert covered >= numbers
    assert all({number - 1, number + 1} <= numbers for number in covered - numbers)
    assert all(b[0] - sum(a) >= 2 for a, b in pairwise(ranges))
