"""The process that reads components: its answers, and its limits."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from support.components import parse
from wasmind.component.build import prepare_apart
from wasmind.component.core import emit
from wasmind.component.core.module import Section
from wasmind.component.prepare import Prepared, Refused, prepare
from wasmind.errors import InvalidProgram, NotWasm, ProgramError, ProgramTooLarge, UnsupportedFeature
from wasmind.sandbox import CompileLimits

TEXT = """
(component
  (core module $m (func (export "f")))
  (core instance $m (instantiate $m))
  (func (export "f") (canon lift (core func $m "f"))))
"""


def test_a_component_becomes_one_module() -> None:
    made = prepare(parse(TEXT))
    assert made.linking is None
    assert len(made.modules) == 1
    assert made.reason is None
    assert prepare(parse(TEXT), "fused") == made


def test_or_as_many_as_it_has() -> None:
    made = prepare(parse(TEXT), "linked")
    assert made.linking is not None
    assert made.plan == prepare(parse(TEXT)).plan


def test_the_process_answers_the_same() -> None:
    assert prepare_apart(parse(TEXT), CompileLimits(), None) == prepare(parse(TEXT))
    assert prepare_apart(parse(TEXT), CompileLimits(), "linked") == prepare(parse(TEXT), "linked")


@pytest.mark.parametrize(
    ("wasm", "kind"),
    [
        (b"\0asm\x0d\0\1\0\xff", NotWasm),
        (parse('(component (import "f" (func async)))'), UnsupportedFeature),
        (parse('(component (import "a" (func)) (import "A" (func)))'), InvalidProgram),
    ],
)
def test_the_process_tells_why_it_refuses(wasm: bytes, kind: type[ProgramError]) -> None:
    with pytest.raises(kind) as here:
        prepare(wasm)
    with pytest.raises(kind) as apart:
        prepare_apart(wasm, CompileLimits(), None)
    assert apart.value.explain() == here.value.explain()


def test_a_refusal_of_an_unknown_kind_is_a_refusal_still() -> None:
    error = Refused("no-such-code", "said", "why", None).error()
    assert type(error) is ProgramError
    assert (error.message, error.cause, error.remedy) == ("said", "why", None)


def doubling(levels: int) -> bytes:
    """A value type that would be 2 to the `levels` types if it were written out, in a few bytes each."""
    types = '(type $t0 (variant (case "a" u8) (case "b" u8)))'
    for level in range(1, levels):
        types += f'(type $t{level} (variant (case "a" $t{level - 1}) (case "b" $t{level - 1})))'
    return parse(f"(component {types})")


def test_types_that_double_end_in_a_refusal() -> None:
    with pytest.raises(ProgramTooLarge):
        prepare_apart(doubling(60), CompileLimits(), None)


@pytest.mark.slow
def test_the_process_may_only_use_so_much_memory() -> None:
    content = bytes(40_000_000)
    data = b"\1\1" + emit.u32(len(content)) + content
    module = b"\0asm\1\0\0\0" + emit.section(Section.DATA, data)
    component = b"\0asm\x0d\0\1\0\1" + emit.u32(len(module)) + module + b"\2\4\1\0\0\0"
    assert len(prepare_apart(component, CompileLimits(), None).modules[0]) > len(content)
    with pytest.raises(ProgramTooLarge):
        prepare_apart(component, CompileLimits(memory=120 << 20), None)


def test_the_process_may_only_take_so_much_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(command: list[str], *, timeout: float, **rest: object) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", late)
    with pytest.raises(ProgramTooLarge, match="longer than 3 s"):
        prepare_apart(parse(TEXT), CompileLimits(wall_s=3), None)


def test_the_program_itself() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-m", "wasmind.component.prepare", "any", "0", "10"],
        input=parse(TEXT),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert msgspec.msgpack.decode(done.stdout, type=Prepared) == prepare(parse(TEXT))
