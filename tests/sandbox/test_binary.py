from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.sandbox import GUEST
from wasmind.errors import NotWasm, ProgramError, UnsupportedFeature
from wasmind.sandbox import Kind, Signature, from_text, outline
from wasmind.sandbox.binary import Export, Import

EMPTY = b"\0asm\1\0\0\0"
VALID = from_text(GUEST)


def section(number: int, *content: bytes) -> bytes:
    body = b"".join(content)
    assert len(body) < 128
    return bytes([number, len(body)]) + body


def test_an_empty_module() -> None:
    found = outline(EMPTY)
    assert found.imports == found.exports == ()
    assert found.memories == found.tables == ()


def test_imports_exports_memories_and_tables() -> None:
    found = outline(
        from_text(
            """(module
              (import "a" "f" (func (param i32 i64 f32 f64) (result i32)))
              (import "b" "g" (global (mut i64)))
              (import "b" "t" (table 3 funcref))
              (table 7 9 funcref)
              (memory (export "memory") 2 5)
              (global (export "answer") i32 (i32.const 42))
              (func (export "run") (param f64) (result i64 i64) (i64.const 1) (i64.const 2))
              (func (export "vector") (param v128))
              (func (export "reference") (param externref)))"""
        )
    )
    i32, i64, f32, f64 = Kind
    assert found.imports == (
        Import("a", "f", "function", Signature((i32, i64, f32, f64), (i32,))),
        Import("b", "g", "global"),
        Import("b", "t", "table"),
    )
    assert found.exports == (
        Export("memory", "memory"),
        Export("answer", "global"),
        Export("run", "function", Signature((f64,), (i64, i64))),
        Export("vector", "function"),
        Export("reference", "function"),
    )
    assert found.memories == (2 * 65536,)
    assert found.tables == (3, 7)


def test_custom_sections_are_skipped_wherever_they_stand() -> None:
    custom = section(0, b"\4name", b"\xff" * 20)
    assert outline(EMPTY + custom + section(5, b"\1\0\1") + custom).memories == (65536,)


@pytest.mark.parametrize(
    ("wasm", "cause", "remedy"),
    [
        (b"", "begins with b''", None),
        (b"(module)", "begins with", "text format"),
        (b"  (module (func))", "begins with", "text format"),
        (b"\x7fELF\2\1\1", "begins with", "native program"),
        (b"\0asm\2\0\0\0", "version is 02 00 00 00", None),
        (b"\0asm", "version is", None),
    ],
)
def test_what_is_no_wasm(wasm: bytes, cause: str, remedy: str | None) -> None:
    with pytest.raises(NotWasm) as caught:
        outline(wasm)
    assert cause in (caught.value.cause or "")
    assert (remedy or "") in (caught.value.remedy or "")


def test_a_component_is_recognized() -> None:
    with pytest.raises(UnsupportedFeature, match="this is a component"):
        outline(b"\0asm\x0d\0\1\0")


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (b"\5", "ends too early"),
        (b"\5\7\0", "part of 7 bytes does not fit"),
        (b"\x0e\0", "no section 14"),
        (section(5, b"\0") + section(5, b"\0"), "out of order"),
        (section(7, b"\0") + section(5, b"\0"), "out of order"),
        (section(5, b"\1\0\1\0"), "longer than its items"),
        (section(5, b"\x7f"), "a list of 127 items does not fit"),
        (section(5, b"\1\0\xff\xff\xff\xff\xff\1"), "too long"),
        (section(5, b"\1\0\xff\xff\xff\xff\x7f"), "too large"),
        (section(5, b"\1\1\5\4"), "less than the least"),
        (section(2, b"\1\1\xff\1a\0\0"), "not UTF-8"),
        (section(2, b"\1\1a\1b\0\0"), "type 0 does not exist"),
        (section(2, b"\1\1a\1b\7\0"), "no kind of item 7"),
        (section(7, b"\1\1a\0\0"), "names function 0, which does not exist"),
    ],
)
def test_what_is_malformed_says_where(body: bytes, cause: str) -> None:
    with pytest.raises(NotWasm) as caught:
        outline(EMPTY + body)
    assert cause in (caught.value.cause or "")
    assert "at byte 0x" in (caught.value.cause or "")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (section(5, b"\1\3\1\1"), "shared memory"),
        (section(5, b"\1\4\1"), "64-bit memory"),
        (section(5, b"\1\x08\1"), "limits of an unknown form"),
        (section(4, b"\1\x70\4\1"), "64-bit table"),
        (section(4, b"\1\x40\0\x70\0\1"), "tables with initial values"),
        (section(2, b"\1\1a\1b\2\3\1\1"), "shared memory"),
        (section(2, b"\1\1a\1b\2\5\1\1"), "64-bit memory"),
        (section(1, b"\1\x5f\0"), "garbage-collected types"),
        (section(1, b"\1\x60\1\x6e\0"), "a type that is not offered"),
    ],
)
def test_what_is_not_offered(body: bytes, message: str) -> None:
    with pytest.raises(UnsupportedFeature, match=message):
        outline(EMPTY + body)


@given(st.data())
def test_damage_is_refused_or_read_but_never_crashes(data: st.DataObject) -> None:
    damaged = bytearray(VALID)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(8, len(damaged) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    for wasm in (bytes(damaged), bytes(damaged[:cut])):
        with suppress(ProgramError):
            outline(wasm)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_or_read(content: bytes) -> None:
    with suppress(ProgramError):
        outline(EMPTY + content)
