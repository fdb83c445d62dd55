"""Row 6: a shared or 64-bit memory is refused at deploy; without a memory, a pointer is a fault with a
name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.sandbox import Desk
from wasmind.config import Limits
from wasmind.errors import GuestTrap, MissingMemory, NnCode, UnsupportedFeature
from wasmind.sandbox import U32, Guest, Interface, Program, compile_program_now, from_text

if TYPE_CHECKING:
    from pathlib import Path

    from wasmind.sandbox import Engine

host = Interface("host")


@host.function("write")
def write(guest: Guest[Desk], pointer: U32) -> U32:
    guest.memory.set_u32(pointer, 1)
    return 0


@pytest.mark.parametrize(
    "memory",
    [
        "(memory 1 2 shared)",
        '(memory (export "memory") 1 1 shared)',
        '(import "env" "memory" (memory 1 2 shared))',
        "(memory i64 1)",
        "(memory i64 1 2)",
        '(import "env" "memory" (memory i64 1))',
        "(memory 1) (memory i64 1)",
    ],
)
def test_shared_and_64_bit_memories_are_refused_with_a_reason(tmp_path: Path, memory: str) -> None:
    wasm = from_text(f'(module {memory} (func (export "_start")))')
    with pytest.raises(UnsupportedFeature, match=r"has a (shared|64-bit) memory") as caught:
        compile_program_now(wasm, tmp_path / "cache", [host])
    assert caught.value.remedy
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "memory", ["", "(memory 1)", '(memory (export "other") 1)', '(table (export "memory") 1 funcref)']
)
async def test_a_pointer_without_a_memory_is_a_fault(engine: Engine, tmp_path: Path, memory: str) -> None:
    wasm = from_text(
        f"""(module (import "host" "write" (func $write (param i32) (result i32))) {memory}
              (func (export "_start") (drop (call $write (i32.const 8)))))"""
    )
    program = Program.load(engine, compile_program_now(wasm, tmp_path / "cache", [host]), [host])
    guest = Guest(program, Limits(), Desk())
    with pytest.raises(MissingMemory) as caught:
        await guest.run()
    assert caught.value.nn_code is NnCode.MISSING_MEMORY
    program.close()


async def test_reading_past_the_end_traps_in_the_guest_alone(engine: Engine, tmp_path: Path) -> None:
    wasm = from_text(
        """(module (memory (export "memory") 1)
             (func (export "read") (param i32) (result i32) (i32.load offset=0xfffffff0 (local.get 0)))
             (func (export "copy") (param i32) (memory.copy (i32.const 0) (local.get 0) (i32.const 100000)))
             (func (export "_start")))"""
    )
    program = Program.load(engine, compile_program_now(wasm, tmp_path / "cache", []), [])
    for export in ("read", "copy"):
        for pointer in (0, 65533, 65536, 2**31, 2**32 - 1):
            guest = Guest(program, Limits(), Desk())
            await guest.start()
            with pytest.raises(GuestTrap, match="out-of-bounds memory access"):
                await guest.call(export, pointer)
    program.close()
