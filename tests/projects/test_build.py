"""A build replaces the module as a whole, or leaves it as it was."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasmind.errors import BuildFailed
from wasmind.projects.build import build, language_of, skipped, sources, stale

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.projects.target import Target

GOOD = "int main(void) { return 0; }\n"


def test_it_makes_a_module(target: Callable[..., Target]) -> None:
    built = build(target("f.c", GOOD))
    assert (built.function, built.language) == ("f", "c")
    assert built.module.read_bytes()[:4] == b"\0asm"
    assert built.size == built.module.stat().st_size
    assert built.seconds > 0
    assert [path.name for path in built.module.parent.iterdir()] == ["f.wasm"]


def test_what_does_not_build_leaves_the_module_and_tells_the_compilers_words(
    target: Callable[..., Target],
) -> None:
    made = build(target("f.c", GOOD)).module
    before = made.read_bytes()
    with pytest.raises(BuildFailed, match=r"f\.c does not build") as caught:
        build(target("f.c", "int main(void) { return nothing; }"))
    assert "nothing" in caught.value.output
    assert caught.value.as_dict()["output"] == caught.value.output
    assert made.read_bytes() == before
    assert [path.name for path in made.parent.iterdir()] == ["f.wasm"]


def test_sources_that_cannot_be_built(target: Callable[..., Target], tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="no language") as unknown:
        build(target("f.pl", "print 1"))
    assert ".py" in unknown.value.explain()
    gone = target("f.c", GOOD)
    gone.source.unlink()
    with pytest.raises(BuildFailed, match="is not there"):
        build(gone)
    (tmp_path / "build").write_text("a file")
    with pytest.raises(BuildFailed, match="cannot be written"):
        build(target("f.c", GOOD))


@pytest.mark.parametrize(
    ("file", "language"),
    [("a.py", "python"), ("a.mjs", "javascript"), ("a.c", "c"), ("a.rs", "rust"), ("a.ts", "assemblyscript")],
)
def test_the_suffix_tells_the_language(target: Callable[..., Target], file: str, language: str) -> None:
    assert language_of(target(file, "")).name == language


def test_a_module_is_stale_when_a_source_is_newer(target: Callable[..., Target], tmp_path: Path) -> None:
    one = target("f.c", GOOD)
    assert stale(one)
    one.module.parent.mkdir()
    one.module.write_bytes(b"")
    os.utime(one.source, ns=(0, 0))
    assert not stale(one)
    (tmp_path / "notes.md").write_text("newer, and no source")
    assert not stale(one)
    header = tmp_path / "include" / "f.h"
    header.parent.mkdir()
    header.write_text("")
    os.utime(header, ns=(2**62, 2**62))
    assert stale(one)


def test_what_tools_made_is_no_source(target: Callable[..., Target], tmp_path: Path) -> None:
    one = target("f.py", "")
    for directory in ("node_modules/x", ".venv/lib", "build", "target", "lib"):
        (tmp_path / directory).mkdir(parents=True)
        (tmp_path / directory / "g.py").write_text("")
    found = {str(path.relative_to(tmp_path)) for path in sources(one)}
    assert found == {"f.py", "lib/g.py"}
    assert skipped(".git")
    assert not skipped("src")
