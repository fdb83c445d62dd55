"""A toolchain that is not there is told, with how to install it; so is one that refuses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasmind.errors import BuildFailed, ToolMissing
from wasmind.projects import c, places
from wasmind.projects.build import build

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.projects.target import Target


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without any toolchain."""
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    monkeypatch.delenv("NODE_PATH", raising=False)
    monkeypatch.delenv("WASI_SDK_PATH", raising=False)
    monkeypatch.setattr(places.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(places.sys, "prefix", str(tmp_path))
    monkeypatch.setattr(c, "find_spec", lambda _: None)


@pytest.mark.parametrize(
    ("file", "said", "remedy"),
    [
        ("f.py", "componentize-py is not installed", "pip install componentize-py=="),
        ("f.js", "Node.js is not installed", "nodejs"),
        ("f.c", "no compiler for C", "pip install ziglang=="),
        ("f.rs", "Rust is not installed", "rustup target add wasm32-wasip1"),
        ("f.ts", "Node.js is not installed", "nodejs"),
    ],
)
@pytest.mark.usefixtures("bare")
def test_no_toolchain(target: Callable[..., Target], file: str, said: str, remedy: str) -> None:
    with pytest.raises(ToolMissing, match=said) as caught:
        build(target(file, ""))
    assert remedy in (caught.value.remedy or "")
    assert caught.value.exit_code == 2


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.usefixtures("bare")
def test_packages_of_node_that_are_missing(
    target: Callable[..., Target], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path / "bin" / "node", "echo 'the package rolldown is not installed'; exit 3")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    with pytest.raises(ToolMissing, match="not installed") as bare:
        build(target("f.js", ""))
    assert "npm install -D @bytecodealliance/componentize-js@" in (bare.value.remedy or "")
    (tmp_path / "package.json").write_text("{}")
    with pytest.raises(ToolMissing) as listed:
        build(target("f.js", ""))
    assert (listed.value.remedy or "").endswith(f"{tmp_path}: npm install")
    with pytest.raises(ToolMissing, match="AssemblyScript is not installed") as asc:
        build(target("f.ts", ""))
    assert "npm install -D assemblyscript@" in (asc.value.remedy or "")


@pytest.mark.usefixtures("bare")
def test_a_rust_without_the_target(
    target: Callable[..., Target], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path / "bin" / "rustc", "echo /nowhere")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin".split(":")[0])
    with pytest.raises(ToolMissing, match="no Rust compiler here builds for WASI") as caught:
        build(target("f.rs", ""))
    assert str(tmp_path / "bin" / "rustc") in caught.value.explain()


def test_a_rust_project_with_dependencies_takes_cargo(
    target: Callable[..., Target], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "lib"
    library.mkdir()
    (library / "libstd-1.rlib").write_bytes(b"")
    script(tmp_path / "bin" / "rustc", f"echo {library}")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    one = target("src/main.rs", "")
    (tmp_path / "Cargo.toml").write_text('[package]\nname = "f"\n[dependencies]\nserde = "1"\n')
    with pytest.raises(ToolMissing, match="has dependencies"):
        build(one)
    script(
        tmp_path / "bin" / "cargo",
        'mkdir -p target/wasm32-wasip1/release && echo "$@" > target/wasm32-wasip1/release/f.wasm',
    )
    assert "build --release --target wasm32-wasip1" in build(one).module.read_text()
    (tmp_path / "Cargo.toml").write_text('[package]\nname = "other"\n')
    with pytest.raises(BuildFailed, match="cargo made no"):
        build(one)


@pytest.mark.usefixtures("bare")
def test_the_projects_own_componentize_py_is_used_and_its_traceback_left_out(
    target: Callable[..., Target], tmp_path: Path
) -> None:
    traceback = "Traceback\\nAssertionError: SyntaxError: invalid\\n\\nStack backtrace:\\n 0: x"
    script(tmp_path / ".venv" / "bin" / "componentize-py", f'/usr/bin/printf "{traceback}"; exit 1')
    with pytest.raises(BuildFailed) as caught:
        build(target("f.py", ""))
    assert caught.value.output == "SyntaxError: invalid"
    with pytest.raises(BuildFailed, match="cannot be imported"):
        build(target("my-app.py", ""))


@pytest.mark.usefixtures("bare")
def test_models_that_are_called_and_not_granted(target: Callable[..., Target], tmp_path: Path) -> None:
    words = "AssertionError: ModuleNotFoundError: No module named 'wit_world.imports.graph'"
    script(tmp_path / ".venv" / "bin" / "componentize-py", f'echo "{words}"; exit 1')
    with pytest.raises(BuildFailed) as caught:
        build(target("f.py", ""))
    assert 'models = ["NAME"] under [functions.f]' in caught.value.explain()


def test_a_wasi_sdk_is_used_where_it_is_named(
    target: Callable[..., Target], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path / "sdk" / "bin" / "clang", 'for last; do :; done; echo "$@" > "$last"')
    monkeypatch.setenv("WASI_SDK_PATH", str(tmp_path / "sdk"))
    assert "--target=wasm32-wasip1" in build(target("f.c", "")).module.read_text()
    monkeypatch.setenv("WASI_SDK_PATH", str(tmp_path / "gone"))
    with pytest.raises(BuildFailed, match="cannot be started"):
        build(target("f.c", ""))
