"""A program's kind is told from its bytes; what cannot serve is refused with a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.components import CACHE, parse
from support.guests import build
from support.toolchains import WIT, c
from wasmind.errors import NotWasm, ProgramError, ProgramTooLarge, UnknownImport, UnsupportedFeature
from wasmind.guest_api.program import Compiled, compile_function, compile_function_now
from wasmind.sandbox import CompileLimits
from wasmind.sandbox.compile import DEFAULT_LIMITS

if TYPE_CHECKING:
    from pathlib import Path


def compiled(directory: Path, wasm: bytes, limits: CompileLimits = DEFAULT_LIMITS) -> Compiled:
    program = directory / "program.wasm"
    program.write_bytes(wasm)
    CACHE.parent.mkdir(exist_ok=True)
    return compile_function_now(program, CACHE, limits)


def calls(interface: str, function: str) -> bytes:
    """A component that calls a function of an interface."""
    return parse(
        f"""(component
          (import "{interface}" (instance $i (export "{function}" (func (result u64)))))
          (alias export $i "{function}" (func $f))
          (core func $low (canon lower (func $f)))
          (core module $m (import "a" "f" (func (result i64))))
          (core instance (instantiate $m (with "a" (instance (export "f" (func $low)))))))"""
    )


def test_a_core_module_speaks_cgi(tmp_path: Path) -> None:
    found = compiled(tmp_path, build("hello.wat"))
    assert found.kind == "cgi"
    assert "_start" in found.exports
    assert "wasi_snapshot_preview1.fd_write" in found.imports


async def test_a_component_that_handles_requests(tmp_path: Path) -> None:
    found = compiled(tmp_path, c("hello", WIT, "http"))
    assert found.kind == "wasi-http"
    assert found.exports == ("wasi:http/incoming-handler@0.2.12.handle",)
    assert "wasi:http/types@0.2.12.[static]response-outparam.set" in found.imports
    assert found.linked is None
    assert found.code_size > 1000
    assert await compile_function(tmp_path / "program.wasm", CACHE, CompileLimits()) == found


def test_a_component_that_is_a_command_speaks_cgi(tmp_path: Path) -> None:
    assert compiled(tmp_path, c("command", WIT, "command")).kind == "wasi-cli"


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("(component)", ProgramError, "exports nothing, and neither wasi:http/incoming-handler@0.2"),
        (
            '(component (import "wasi:http/handler@0.3.0" (instance (export "handle" (func async)))))',
            UnsupportedFeature,
            "as of WASI 0.3, are not offered yet",
        ),
        ("(component (type (future u32)) (type (stream u8)))", UnsupportedFeature, "future"),
    ],
)
def test_components_that_cannot_serve(
    tmp_path: Path, text: str, error: type[ProgramError], words: str
) -> None:
    with pytest.raises(error) as refused:
        compiled(tmp_path, parse(text))
    assert words in refused.value.explain()


@pytest.mark.parametrize(
    ("interface", "function", "words"),
    [
        ("wasi:clocks/monotonic-clok@0.2.0", "now", "the nearest are wasi:clocks/monotonic-clock@0.2.12"),
        ("wasi:clocks/monotonic-clock@0.2.0", "nov", "the nearest are now"),
        ("wasi:nn/graph@0.2.0-rc-2024-08-19", "load", "the nearest are wasi:nn/graph@0.2.0-rc-2024-10-28"),
        ("wasi:clocks/monotonic-clock@0.3.0", "now", "not offered"),
    ],
)
def test_what_is_missing_is_named_with_the_nearest(
    tmp_path: Path, interface: str, function: str, words: str
) -> None:
    with pytest.raises(UnknownImport) as refused:
        compiled(tmp_path, calls(interface, function))
    assert words in refused.value.explain()


def test_files_that_are_no_programs(tmp_path: Path) -> None:
    with pytest.raises(NotWasm):
        compiled(tmp_path, b"#!/bin/sh")
    with pytest.raises(NotWasm, match="malformed"):
        compiled(tmp_path, parse("(component)") + b"\x01\xff")
    with pytest.raises(ProgramTooLarge):
        compiled(tmp_path, c("hello", WIT, "http"), CompileLimits(package=1000))
    with pytest.raises(ProgramError, match="cannot read"):
        compile_function_now(tmp_path / "missing.wasm", CACHE, CompileLimits())
