"""The toolchains of languages that functions are written in: there, or a reason to skip a test."""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from support.guests import BUILT
from support.tools import TOOLS
from wasmind.errors import BuildFailed, ToolMissing
from wasmind.projects import rust
from wasmind.projects.build import build, language_of
from wasmind.projects.places import guests
from wasmind.projects.target import Target

if TYPE_CHECKING:
    from pathlib import Path

KINDS = (".py", ".js", ".mjs", ".h", ".rs", ".ts")
LANGUAGES = ("python", "javascript", "c", "rust", "assemblyscript")


def use(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let builds find the language's toolchain; skips the test where there is none."""
    if language in ("javascript", "assemblyscript"):
        modules = TOOLS / "node_modules"
        if not shutil.which("node") or not (TOOLS / ".installed").exists():
            pytest.skip("the toolchains from npm are not installed: make slow does, where npm is there")
        monkeypatch.setenv("NODE_PATH", str(modules))
    if language == "rust":
        try:
            rust.compiler()
        except ToolMissing as error:
            pytest.skip(error.explain())


def built(source: Path, module: Path, *, models: bool = False) -> None:
    """Build a function, or take what was built of the same files; what a toolchain says is the failure."""
    target = Target(source.stem, source, module, source.parent, models)
    helpers = guests(language_of(target).name)
    parts = [source, *sorted(path for path in helpers.rglob("*") if path.suffix in KINDS)]
    digest = hashlib.sha256(b"\0".join((str(models).encode(), *(path.read_bytes() for path in parts))))
    kept = BUILT / f"{source.stem}-{digest.hexdigest()[:16]}.wasm"
    if not kept.exists():
        try:
            build(target)
        except BuildFailed as error:
            raise AssertionError(error.explain() + error.output) from error
        BUILT.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(f".{os.getpid()}")
        shutil.copy(module, part)
        part.rename(kept)
    shutil.copy(kept, module)
