"""Plans bound to the host, run in a real guest."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from support.components import run
from wasmind.component.interface import WitInterface
from wasmind.component.types import Borrow, List, Own, Primitive
from wasmind.errors import GuestTrap, UnknownImport

if TYPE_CHECKING:
    from wasmind.sandbox import Engine

P = Primitive

COMPONENT = """(component
  (import "test:host/words@1.0.0" (instance $words
    (export "shout" (func (param "text" string) (result string)))
    (export "shout-later" (func (param "text" string) (result string)))))
  (core module $m
    (import "words" "shout" (func $shout (param i32 i32 i32)))
    (import "words" "shout-later" (func $later (param i32 i32 i32)))
    (memory (export "memory") 1)
    (global $used (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $used (i32.add (global.get $used) (local.get 3)))
      (i32.sub (global.get $used) (local.get 3)))
    (func (export "now") (param i32 i32) (result i32)
      (call $shout (local.get 0) (local.get 1) (i32.const 16)) (i32.const 16))
    (func (export "later") (param i32 i32) (result i32)
      (call $later (local.get 0) (local.get 1) (i32.const 16)) (i32.const 16)))
  (core module $shims
    (type $t (func (param i32 i32 i32)))
    (table (export "table") 2 2 funcref)
    (func (export "shout") (type $t)
      (call_indirect (type $t) (local.get 0) (local.get 1) (local.get 2) (i32.const 0)))
    (func (export "shout-later") (type $t)
      (call_indirect (type $t) (local.get 0) (local.get 1) (local.get 2) (i32.const 1))))
  (core module $fix
    (import "" "0" (func $a (param i32 i32 i32)))
    (import "" "1" (func $b (param i32 i32 i32)))
    (import "" "table" (table 2 2 funcref))
    (elem (i32.const 0) func $a $b))
  (core instance $shim (instantiate $shims))
  (core instance $i (instantiate $m (with "words" (instance $shim))))
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "realloc" (core func $realloc))
  (alias core export $shim "table" (core table $table))
  (core func $lowered (canon lower (func $words "shout") (memory $memory) (realloc $realloc)))
  (core func $lowered-later
    (canon lower (func $words "shout-later") (memory $memory) (realloc $realloc)))
  (core instance (instantiate $fix (with "" (instance
    (export "0" (func $lowered)) (export "1" (func $lowered-later)) (export "table" (table $table))))))
  (func (export "now") (param "text" string) (result string)
    (canon lift (core func $i "now") (memory $memory) (realloc $realloc)))
  (func (export "later") (param "text" string) (result string)
    (canon lift (core func $i "later") (memory $memory) (realloc $realloc))))"""


def words() -> WitInterface:
    made = WitInterface("test:host/words@1.3.0")

    @made.function("shout", {"text": P.STRING}, P.STRING)
    def shout(_guest: Any, text: str) -> str:
        return text.upper()

    @made.function("shout-later", {"text": P.STRING}, P.STRING)
    async def shout_later(guest: Any, text: str) -> str:
        await asyncio.sleep(0.001)
        return shout(guest, text) + "!"

    return made


@pytest.mark.parametrize("form", ["fused", "linked"])
async def test_strings_to_the_host_and_back(engine: Engine, form: Any) -> None:
    instance = await run(engine, COMPONENT, (words(),), form)
    try:
        assert await instance.call("now", "hé") == "HÉ"
        assert await instance.call("later", "waits") == "WAITS!"
        assert await instance.call("now", "") == ""
    finally:
        instance.close()


async def test_an_import_that_is_not_offered(engine: Engine) -> None:
    with pytest.raises(UnknownImport, match=r"test:host/words@1.0.0"):
        await run(engine, COMPONENT, ())


RESOURCES = """(component
  (import "test:host/files@1.0.0" (instance $files
    (export "file" (type $file (sub resource)))
    (export "open" (func (param "name" u32) (result (own $file))))
    (export "size" (func (param "file" (borrow $file)) (result u32)))))
  (alias export $files "file" (type $file))
  (core func $open (canon lower (func $files "open")))
  (core func $size (canon lower (func $files "size")))
  (core func $drop (canon resource.drop $file))
  (core module $m
    (import "" "open" (func $open (param i32) (result i32)))
    (import "" "size" (func $size (param i32) (result i32)))
    (import "" "drop" (func $drop (param i32)))
    (func (export "use") (param i32) (result i32) (local $file i32) (local $size i32)
      (local.set $file (call $open (local.get 0)))
      (local.set $size (call $size (local.get $file)))
      (call $drop (local.get $file))
      (local.get $size))
    (func (export "leak") (param i32) (result i32) (call $open (local.get 0)))
    (func (export "drop") (param i32) (call $drop (local.get 0)))
    (func (export "ask") (param i32) (result i32) (call $size (local.get 0))))
  (core instance $i (instantiate $m (with "" (instance
    (export "open" (func $open)) (export "size" (func $size)) (export "drop" (func $drop))))))
  (func (export "use") (param "name" u32) (result u32) (canon lift (core func $i "use")))
  (func (export "leak") (param "name" u32) (result u32) (canon lift (core func $i "leak")))
  (func (export "drop") (param "file" u32) (canon lift (core func $i "drop")))
  (func (export "ask") (param "file" u32) (result u32) (canon lift (core func $i "ask"))))"""


def files(dropped: list[int]) -> WitInterface:
    made = WitInterface("test:host/files@1.0.0")
    file = made.resource("file", lambda _guest, found: dropped.append(found))
    made.function("open", {"name": P.U32}, Own(file))(lambda _guest, name: name * 10)
    made.function("size", {"file": Borrow(file)}, P.U32)(lambda _guest, found: found + 1)
    return made


async def test_resources_of_the_host(engine: Engine) -> None:
    dropped: list[int] = []
    instance = await run(engine, RESOURCES, (files(dropped),))
    try:
        assert await instance.call("use", 4) == 41
        assert dropped == [40]
        assert [await instance.call("leak", 5), await instance.call("leak", 6)] == [1, 2]
        assert await instance.call("ask", 2) == 61
        await instance.call("drop", 1)
        assert dropped == [40, 50]
        with pytest.raises(GuestTrap, match="no handle 1"):
            await instance.call("ask", 1)
    finally:
        instance.close()


async def test_a_handle_of_another_guest_does_not_resolve(engine: Engine) -> None:
    dropped: list[int] = []
    one = await run(engine, RESOURCES, (files(dropped),))
    other = await run(engine, RESOURCES, (files(dropped),))
    try:
        assert await one.call("leak", 5) == 1
        with pytest.raises(GuestTrap, match="no handle 1"):
            await other.call("ask", 1)
        assert await one.call("ask", 1) == 51
    finally:
        one.close()
        other.close()


async def test_a_host_function_of_another_type_is_found_out_when_it_is_loaded(engine: Engine) -> None:
    made = WitInterface("test:host/words@1.3.0")
    made.function("shout", {"text": P.STRING}, List(P.U8))(lambda _guest, text: text.encode())
    with pytest.raises(UnknownImport, match="another type"):
        await run(engine, COMPONENT, (made,))
