"""Rust, by cargo, or by rustc alone: a core module."""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wasmind.errors import BuildFailed, ToolMissing
from wasmind.projects.language import Language

if TYPE_CHECKING:
    from wasmind.projects.target import Target

TARGETS = ("wasm32-wasip1", "wasm32-wasi")
"""What WASI 0.1 is called by today's compilers, and by older ones."""


class Compiler(NamedTuple):
    """A rustc that can build for WASI."""

    rustc: Path
    target: str


class Rust(Language):
    """The source is a program that speaks CGI; with a Cargo.toml, it is built by cargo."""

    name, suffixes, watched = "rust", (".rs",), (".rs", ".toml", ".lock")

    def build(self, target: Target, output: Path) -> None:
        """Build with cargo where it stands beside the compiler and is asked for, else with rustc."""
        found = compiler()
        manifest = _manifest(target)
        cargo = found.rustc.with_name("cargo")
        if manifest and cargo.exists():
            self._with_cargo(target, output, cargo, found, manifest)
            return
        if manifest and tomllib.loads(manifest.read_text()).get("dependencies"):
            raise ToolMissing(
                f"{manifest} has dependencies, which take cargo",
                cause=f"there is no cargo beside {found.rustc}, the rustc that builds for WASI",
                remedy="rustup target add wasm32-wasip1",
            )
        flags = ["--edition", "2021", "--crate-type", "bin", "--target", found.target]
        flags += ["-O", "-C", "strip=symbols"]
        self.run(target, [found.rustc, *flags, target.source, "-o", output])

    def _with_cargo(
        self, target: Target, output: Path, cargo: Path, compiler: Compiler, manifest: Path
    ) -> None:
        name = tomllib.loads(manifest.read_text()).get("package", {}).get("name", "")
        command: list[str | Path] = [cargo, "build", "--release", "--target", compiler.target]
        self.run(target, [*command, "--manifest-path", manifest], {"RUSTC": str(compiler.rustc)})
        made = manifest.parent / "target" / compiler.target / "release" / f"{name}.wasm"
        if not made.exists():
            raise BuildFailed(f"cargo made no {made}", remedy="the package needs a src/main.rs")
        shutil.copyfile(made, output)


def _manifest(target: Target) -> Path | None:
    """The Cargo.toml that the source belongs to, inside the project."""
    for directory in target.source.parents:
        if (directory / "Cargo.toml").exists():
            return directory / "Cargo.toml"
        if directory == target.directory:
            break
    return None


def compiler() -> Compiler:
    """The first rustc that has the standard library for WASI. Raises ToolMissing."""
    seen = []
    for directory in os.get_exec_path():
        rustc = Path(directory) / "rustc"
        if not rustc.exists() or rustc in seen:
            continue
        seen.append(rustc)
        for target in TARGETS:
            asked = subprocess.run(
                [rustc, "--print", "target-libdir", "--target", target],
                capture_output=True,
                text=True,
                check=False,
            )
            if asked.returncode == 0 and any(Path(asked.stdout.strip()).glob("libstd-*.rlib")):
                return Compiler(rustc, target)
    raise ToolMissing(
        "no Rust compiler here builds for WASI" if seen else "Rust is not installed",
        cause=f"{', '.join(map(str, seen))}: no standard library for {TARGETS[0]}" if seen else None,
        remedy="rustup target add wasm32-wasip1, or on Debian: apt install rustc libstd-rust-dev-wasm32 lld",
    )
