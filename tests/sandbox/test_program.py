from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from support.sandbox import GUEST, host
from wasmind.errors import ProgramError, UnknownImport
from wasmind.sandbox import Interface, Kind, Program, Signature, compile_program_now, from_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wasmind.sandbox import Engine


def test_exports_and_least_sizes_are_known(program: Program) -> None:
    assert program.function("sum").signature == Signature((Kind.I32, Kind.I32), (Kind.I32,))
    assert program.memory_least == 65536
    assert program.table_least == 0
    assert not program.initializes


def test_a_missing_export_names_those_that_exist(load: Callable[..., Program]) -> None:
    with pytest.raises(ProgramError, match="exports no function '_start'") as caught:
        load('(module (func (export "handle")) (func (export "other")))').function("_start")
    assert caught.value.cause == "it exports handle, other"
    assert "build an executable" in (caught.value.remedy or "")


def test_functions_that_cannot_be_called_are_not_offered(load: Callable[..., Program]) -> None:
    many = " ".join(["i32"] * 17)
    program = load(
        f"""(module (func (export "vector") (param v128)) (func (export "many") (param {many}))
              (func (export "_start")))"""
    )
    assert set(program.functions) == {"_start"}


def test_arguments_are_checked_and_brought_into_range(program: Program) -> None:
    function = program.function("mixed")
    assert function.checked((-1, 2**64, 3)) == (2**32 - 1, 0, 3.0)
    assert isinstance(function.checked((1, 2, 3))[2], float)
    with pytest.raises(TypeError, match=r"mixed takes \(i32, i64, f64\) -> \(f64\), got 1 values"):
        function.checked((1,))
    with pytest.raises(TypeError):
        function.checked((1.5, 2, 3))


def test_interfaces_are_checked_again_when_a_program_is_loaded(engine: Engine, cache: Path) -> None:
    artifact = compile_program_now(from_text(GUEST), cache, [host])
    with pytest.raises(UnknownImport):
        Program.load(engine, artifact, [Interface("host")])


def test_an_artifact_that_cannot_be_mapped(engine: Engine, cache: Path, tmp_path: Path) -> None:
    artifact = compile_program_now(from_text(GUEST), cache, [host])
    (tmp_path / "other.cwasm").write_bytes(b"\x7fELF" + bytes(1000))
    for path in (tmp_path / "other.cwasm", tmp_path / "nothing.cwasm"):
        with pytest.raises(ProgramError, match="cannot be loaded"):
            Program.load(engine, msgspec.structs.replace(artifact, path=path), [host])


def test_closing_twice_is_harmless(load: Callable[..., Program]) -> None:
    program = load('(module (func (export "_start")))')
    program.close()
    program.close()


def test_one_import_may_be_imported_many_times(load: Callable[..., Program]) -> None:
    one = '(import "host" "leave" (func (param i32)))'
    assert load(f'(module {one} {one} {one} (func (export "_start")))').pointers
