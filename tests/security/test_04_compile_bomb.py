"""Row 4: a program made to be costly to compile meets limits on size, time and memory, in a process of its
own.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from wasmind.errors import ProgramError, ProgramTooLarge
from wasmind.sandbox import CompileLimits, Engine, Program, compile_program, compile_program_now

if TYPE_CHECKING:
    from pathlib import Path


def leb(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def section(number: int, body: bytes) -> bytes:
    return bytes([number]) + leb(len(body)) + body


def module(*bodies: bytes) -> bytes:
    """A module of functions without parameters and results, the first of them exported."""
    code = b"".join(leb(len(body)) + body for body in bodies)
    return b"".join(
        (
            b"\0asm\1\0\0\0",
            section(1, b"\1\x60\0\0"),
            section(3, leb(len(bodies)) + b"\0" * len(bodies)),
            section(7, b"\1\6_start\0\0"),
            section(10, leb(len(bodies)) + code),
        )
    )


def huge_function(loops: int, variables: int = 200) -> bytes:
    """Many loops that all use the same variables: the register allocator's worst."""
    out = bytearray(leb(1) + leb(variables) + b"\x7e")
    for i in range(loops):
        a, b, c = (leb(n % variables) for n in (i, i * 7, i * 3))
        out += b"\x03\x40\x20" + a + b"\x20" + b + b"\x7c\x21" + c + b"\x20" + a + b"\xa7\x0d\0\x0b"
    return bytes(out) + b"\x0b"


def test_a_function_that_takes_long_is_stopped(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(ProgramTooLarge, match="took too long"):
        compile_program_now(module(huge_function(60_000)), tmp_path, [], CompileLimits(cpu_s=1))
    assert time.monotonic() - began < 30
    assert not list(tmp_path.iterdir())


def test_wall_time_is_limited_too(tmp_path: Path) -> None:
    with pytest.raises(ProgramTooLarge, match="took too long") as caught:
        compile_program_now(module(huge_function(60_000)), tmp_path, [], CompileLimits(wall_s=0.3))
    assert caught.value.cause == "it was stopped after 0.3 s"
    assert not list(tmp_path.iterdir())


def test_a_function_that_takes_much_memory_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(ProgramTooLarge, match="too much memory"):
        compile_program_now(module(huge_function(20_000)), tmp_path, [], CompileLimits(memory=200 << 20))
    assert not list(tmp_path.iterdir())


async def test_the_loop_goes_on_while_a_bomb_is_compiled(tmp_path: Path) -> None:
    task = asyncio.create_task(
        compile_program(module(huge_function(60_000)), tmp_path, [], CompileLimits(wall_s=0.5))
    )
    turns = 0
    while not task.done():
        await asyncio.sleep(0.005)
        turns += 1
    assert turns > 20
    with pytest.raises(ProgramTooLarge):
        await task


async def test_cancelling_stops_the_compiler_at_once(tmp_path: Path) -> None:
    task = asyncio.create_task(compile_program(module(huge_function(60_000)), tmp_path, []))
    await asyncio.sleep(0.3)
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    until = time.monotonic() + 20
    while list(tmp_path.iterdir()) and time.monotonic() < until:
        await asyncio.sleep(0.01)
    assert not list(tmp_path.iterdir())
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    "sections",
    [
        pytest.param(section(1, leb(2**31) + b"\x60\0\0"), id="a list longer than the module"),
        pytest.param(b"\1" + leb(2**32 - 1), id="a section longer than the module"),
        pytest.param(section(4, b"\1\x70\0" + leb(2**32 - 1)), id="a table of four thousand millions"),
        pytest.param(section(5, leb(1000) + b"\0\1" * 1000), id="a thousand memories"),
        pytest.param(section(4, leb(1000) + b"\x70\0\1" * 1000), id="a thousand tables"),
    ],
)
def test_what_asks_for_too_much_is_refused_before_compiling(tmp_path: Path, sections: bytes) -> None:
    began = time.monotonic()
    with pytest.raises(ProgramError):
        compile_program_now(b"\0asm\1\0\0\0" + sections, tmp_path / "cache", [])
    assert time.monotonic() - began < 5
    assert not (tmp_path / "cache").exists()


def test_a_large_honest_program_is_compiled(engine: Engine, tmp_path: Path) -> None:
    """A limit that refuses what people write would be no limit but a defect."""
    artifact = compile_program_now(module(*[b"\0" + b"\x01" * 200 + b"\x0b"] * 5_000), tmp_path, [])
    assert artifact.size > 1_000_000
    Program.load(engine, artifact, []).close()
