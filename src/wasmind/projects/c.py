"""C, by ziglang (a Python package with a whole toolchain) or by a clang of the WASI SDK: a core module."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from wasmind.errors import ToolMissing
from wasmind.projects.language import Language
from wasmind.projects.places import guests, program

if TYPE_CHECKING:
    from wasmind.projects.target import Target

STACK = 256 << 10
"""Bytes of stack in the guest's memory: 16 MiB unless told, which costs each sandbox time."""


class C(Language):
    """The source is a program that speaks CGI."""

    name, suffixes, watched = "c", (".c",), (".c", ".h")

    def build(self, target: Target, output: Path) -> None:
        """Build with `zig cc`, or with the clang that WASI_SDK_PATH names."""
        flags = ["-O2", "-s", f"-Wl,-z,stack-size={STACK}"]
        flags += ["-I", str(target.directory), "-I", str(guests("c"))]
        self.run(target, [*_compiler(), *flags, target.source, "-o", output])


def _compiler() -> list[str | Path]:
    """The words that begin a command. Raises ToolMissing."""
    if sdk := os.environ.get("WASI_SDK_PATH"):
        return [Path(sdk) / "bin" / "clang", "--target=wasm32-wasip1"]
    if find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-wasi"]
    if zig := program("zig"):
        return [zig, "cc", "-target", "wasm32-wasi"]
    raise ToolMissing(
        "no compiler for C is installed",
        remedy="pip install ziglang==0.17.1, or set WASI_SDK_PATH to a WASI SDK",
    )
