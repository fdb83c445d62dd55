"""The demo's function in Python and JavaScript: built by their toolchains once, and kept.

A language whose toolchain is not there is left out, and it is said why: the demo has its function in C.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wasmind.catalog.stored import write_bytes
from wasmind.errors import BuildFailed, ToolMissing
from wasmind.projects import javascript, python
from wasmind.projects.build import build
from wasmind.projects.places import WIT, guests, program
from wasmind.projects.target import Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmind.demo.screen import Steps

SOURCES = {"python": "classify.py", "javascript": "classify.js"}
NAMES = {"python": "Python", "javascript": "JavaScript"}
VERSIONS = {"python": python.PACKAGE, "javascript": json.dumps(javascript.PACKAGES)}
ASKED = "wasmind demo --lang python --lang javascript"
DIRECTORY = Path(__file__).with_name("functions")


@dataclass(frozen=True, slots=True)
class Variant:
    """The demo's function in another language."""

    language: str
    module: Path

    @property
    def name(self) -> str:
        """The function's name, and its route."""
        return f"classify-{self.language}"


def variants(directory: Path, labels: Path, wanted: Sequence[str] | None, steps: Steps) -> list[Variant]:
    """The function in the languages that are wanted; None: those whose toolchain is there.

    Built in `directory`, where it is found again. Never raises for a language: it says why it is left out.
    """
    directory = directory / "functions"
    found = []
    for language in SOURCES if wanted is None else [each for each in wanted if each in SOURCES]:
        try:
            found.append(_variant(language, directory, labels, install=wanted is not None, steps=steps))
        except BuildFailed as error:
            steps.leave_out(NAMES[language], error)
        except OSError as error:
            steps.leave_out(NAMES[language], BuildFailed(f"{directory} cannot be written", cause=str(error)))
    return found


def _variant(language: str, directory: Path, labels: Path, *, install: bool, steps: Steps) -> Variant:
    source = directory / SOURCES[language]
    module = directory / f"classify-{language}.wasm"
    recipe = module.with_suffix(".sha256")
    expected = _recipe(language, labels)
    if module.is_file() and recipe.is_file() and recipe.read_text() == expected:
        return Variant(language, module)
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(DIRECTORY / SOURCES[language], source)
    shutil.copyfile(labels, directory / "labels.txt")
    target = Target(f"classify-{language}", source, module, directory, models=True)
    steps.step(f"Building the function in {NAMES[language]} (once)")
    try:
        build(target)
    except ToolMissing as error:
        if language != "javascript" or program("node") is None:
            raise
        if not install:
            error.remedy = f"{ASKED} fetches it from npm (400 MB)"
            raise
        _install(directory, steps)
        steps.step(f"Building the function in {NAMES[language]} (once)")
        build(target)
    write_bytes(recipe, expected.encode())
    steps.done()
    return Variant(language, module)


def _install(directory: Path, steps: Steps) -> None:
    """Fetch what JavaScript is built with: it is large, so somebody has to have asked for it.

    Raises ToolMissing.
    """
    npm = program("npm")
    if npm is None:
        raise ToolMissing("npm is not installed", remedy="apt install npm")
    steps.step("Installing the toolchain for JavaScript from npm (400 MB, once)")
    manifest = {"private": True, "type": "module", "dependencies": javascript.PACKAGES}
    write_bytes(directory / "package.json", json.dumps(manifest).encode())
    done = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund"],
        cwd=directory,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise ToolMissing("npm could not install it", cause=done.stderr.strip()[-500:])


def _recipe(language: str, labels: Path) -> str:
    """What a module follows from: the function, the helpers, the interfaces, the labels, the toolchain."""
    helpers = (path for path in guests(language).rglob("*") if path.suffix in (".py", ".js", ".mjs"))
    files = [DIRECTORY / SOURCES[language], *sorted(helpers), WIT / "worlds.wit", labels]
    parts = (VERSIONS[language].encode(), *(path.read_bytes() for path in files))
    return hashlib.sha256(b"\0".join(parts)).hexdigest()
