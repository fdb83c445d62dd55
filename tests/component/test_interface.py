"""Declaring host interfaces."""

from __future__ import annotations

from typing import Any

import pytest

from wasmind.component.interface import HostResource, WitInterface, compatible
from wasmind.component.types import Borrow, Field, FunctionType, Own, Primitive

U32 = Primitive.U32


@pytest.mark.parametrize(
    ("wanted", "offered", "served"),
    [
        ("wasi:io/poll@0.2.9", "wasi:io/poll@0.2.12", True),
        ("wasi:io/poll@0.2.12", "wasi:io/poll@0.2.0", True),
        ("wasi:io/poll@0.3.0", "wasi:io/poll@0.2.12", False),
        ("wasi:io/streams@0.2.12", "wasi:io/poll@0.2.12", False),
        ("a:b/c@1.0.0", "a:b/c@1.7.3", True),
        ("a:b/c@2.0.0", "a:b/c@1.7.3", False),
        ("a:b/c@0.0.1", "a:b/c@0.0.1", True),
        ("a:b/c@0.0.1", "a:b/c@0.0.2", False),
        ("wasi:nn/graph@0.2.0-rc-2024-10-28", "wasi:nn/graph@0.2.0-rc-2024-10-28", True),
        ("wasi:nn/graph@0.2.0-rc-2024-10-28", "wasi:nn/graph@0.2.0", False),
        ("wasi:nn/graph@0.2.0-rc-2024-10-28", "wasi:nn/graph@0.2.0-rc-2024-11-01", False),
        ("a:b/c@1.0.0+build.7", "a:b/c@1.0.1", True),
        ("a:b/c", "a:b/c", True),
        ("a:b/c", "a:b/c@1.0.0", False),
        ("a:b/c@1", "a:b/c@1.0.0", False),
        ("", "a:b/c@1.0.0", False),
    ],
)
def test_versions(wanted: str, offered: str, served: bool) -> None:
    assert compatible(wanted, offered) is served


def test_functions_of_every_kind() -> None:
    files = WitInterface("test:files/files@1.2.0")
    file = files.resource("file")

    @files.constructor(file, {"size": U32})
    def make(_guest: Any, size: int) -> int:
        return size

    @files.method(file, "read", {"len": U32}, U32)
    def read(_guest: Any, size: int, length: int) -> int:
        return min(size, length)

    @files.static(file, "merge", {"one": Own(file), "two": Own(file)}, Own(file))
    def merge(_guest: Any, one: int, two: int) -> int:
        return one + two

    @files.function("count", result=U32)
    async def count(_guest: Any) -> int:
        return 1

    assert str(files) == "test:files/files@1.2.0"
    assert {name: each.type for name, each in files.functions.items()} == {
        "[constructor]file": FunctionType((Field("size", U32),), Own(file)),
        "[method]file.read": FunctionType((Field("self", Borrow(file)), Field("len", U32)), U32),
        "[static]file.merge": FunctionType((Field("one", Own(file)), Field("two", Own(file))), Own(file)),
        "count": FunctionType((), U32),
    }
    assert files.functions["count"].suspends
    assert not files.functions["[method]file.read"].suspends
    assert (make(None, 3), read(None, 3, 2), merge(None, 1, 2)) == (3, 2, 3)


def test_a_name_is_taken_once() -> None:
    files = WitInterface("test:files/files@1.2.0")
    files.function("count")(lambda _guest: None)
    with pytest.raises(ValueError, match=r"test:files/files@1.2.0.count is declared already"):
        files.function("count")(lambda _guest: None)


def test_resources_are_known_by_their_full_name() -> None:
    one, two = WitInterface("a:b/c@1.0.0"), WitInterface("a:b/d@1.0.0")
    assert one.resource("file") == HostResource(-1, "a:b/c/file")
    assert one.resource("file") != two.resource("file")
    assert WitInterface("a:b/c@1.1.0").resource("file") == one.resource("file")
