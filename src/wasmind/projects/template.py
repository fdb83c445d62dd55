"""Writes a new project: a function in a language that answers with a model, and the node that serves it."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from wasmind.errors import BuildFailed
from wasmind.projects import assemblyscript, javascript
from wasmind.projects.places import TEMPLATES, guests

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")
SOURCES = {
    "python": "app.py",
    "javascript": "app.js",
    "c": "main.c",
    "rust": "src/main.rs",
    "assemblyscript": "main.ts",
}
"""The languages, and where a new project's function stands."""
INSTALL = {
    "python": "pip install -r requirements.txt",
    "javascript": "npm install",
    "c": "pip install ziglang==0.17.1",
    "rust": "rustup target add wasm32-wasip1",
    "assemblyscript": "npm install",
}
PACKAGES = {"javascript": javascript.PACKAGES, "assemblyscript": assemblyscript.PACKAGES}
COMPILED = {
    "f32": ("float", "f32", "Float32"),
    "f64": ("double", "f64", "Float64"),
    "u8": ("uint8_t", "u8", "Uint8"),
    "i32": ("int32_t", "i32", "Int32"),
    "i64": ("int64_t", "i64", "Int64"),
}
"""The element types of compiled languages: in C, in Rust and AssemblyScript, AssemblyScript's array."""
RENAMED = {"gitignore": ".gitignore", "app.py.in": "app.py"}
"""Templates that tools would take for what they are not, and their names in a project."""
ROOM = 65536
"""Elements that a compiled function takes or gives where the model leaves it open."""


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a model; a dimension that is left open is -1."""

    name: str
    type: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """The model that the function is to call."""

    name: str
    path: str
    """As wasmind.toml is to have it."""
    input: Port
    output: Port


LINEAR = Model("linear", "linear.onnx", Port("x", "f32", (-1, 1)), Port("y", "f32", (-1, 1)))
"""y = 2x + 1: what a project has that names no model of its own."""


def write(directory: Path, name: str, language: str, model: Model | None = None) -> list[Path]:
    """Write a project into `directory`, which must be new or empty; returns its files.

    Raises BuildFailed where the language has no numbers of the model's types, or something is in the way.
    """
    if not NAME.match(name):
        raise BuildFailed(
            f"{name!r} is no name for a function",
            cause="a name is made of lower-case letters, digits and hyphens, and begins with a letter",
        )
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise BuildFailed(f"{directory} is there already", remedy="choose another name")
    words = _words(name, language, model or LINEAR)
    files = []
    try:
        for template, path in _templates(language):
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_filled(template.read_text(), words))
            files.append(target)
        for origin, place in _copies(language, model):
            shutil.copyfile(origin, directory / place)
            files.append(directory / place)
    except OSError as error:
        raise BuildFailed(f"the project cannot be written to {directory}", cause=str(error)) from error
    return files


def _templates(language: str) -> list[tuple[Path, Path]]:
    """Each template of a language, and where it goes in the project."""
    found = []
    for base in (TEMPLATES / "common", TEMPLATES / language):
        for path in sorted(base.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                place = path.relative_to(base)
                found.append((path, place.with_name(RENAMED.get(place.name, place.name))))
    return found


def _copies(language: str, model: Model | None) -> list[tuple[Path, str]]:
    """Files that go into a project as they are."""
    found = [] if model else [(TEMPLATES / "linear.onnx", "linear.onnx")]
    if language == "rust":  # its build takes no search path for a module
        found.append((guests("rust") / "wasi_nn.rs", "src/wasi_nn.rs"))
    return found


def _filled(text: str, words: Mapping[str, str]) -> str:
    return re.sub(r"%%(\w+)%%", lambda found: words[found[1]], text)


def _words(name: str, language: str, model: Model) -> dict[str, str]:
    """What the templates leave open."""
    given, made = model.input, model.output
    shape = _one_open(given.shape)
    packages = PACKAGES.get(language, {})
    words = {
        "name": name,
        "language": {"c": "C", "javascript": "JavaScript", "assemblyscript": "AssemblyScript"}.get(
            language, language.capitalize()
        ),
        "source": SOURCES[language],
        "install": INSTALL[language],
        "example": _example(shape),
        "model": model.name,
        "path": json.dumps(model.path),
        "input": given.name,
        "output": made.name,
        "type": given.type,
        "shape": str(list(shape)),
        "call": f"{given.name}=numbers" if given.name.isidentifier() else f'**{{"{given.name}": numbers}}',
        "packages": ",\n".join(f'    "{package}": "{version}"' for package, version in packages.items()),
    }
    if language == "python":
        return words
    for port in (given, made):
        if port.type not in COMPILED:
            raise BuildFailed(
                f"a project in {language} cannot be written for the model {model.name}",
                cause=f"{port.name} is {port.type}, which {language} has no numbers for",
                remedy="begin with --lang python, or without --model",
            )
    into, out = COMPILED[given.type], COMPILED[made.type]
    return words | {
        "dims": ", ".join(_dimension(size, shape) for size in shape) or "1",
        "room_in": str(_room(given.shape)),
        "room_out": str(_room(made.shape)),
        "input_c": into[0],
        "input_nn": f"NN_{given.type.upper()}",
        "output_c": out[0],
        "input_rust": into[1],
        "output_rust": out[1],
        "input_as": into[1],
        "input_type": given.type.upper(),
        "output_as": out[2],
    }


def _one_open(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with its first open dimension left open, and 1 for the others."""
    return tuple(size if size != -1 or at == shape.index(-1) else 1 for at, size in enumerate(shape))


def _dimension(size: int, shape: tuple[int, ...]) -> str:
    """A dimension as an expression in `count`, the number of elements."""
    rest = prod(other for other in shape if other != -1)
    return str(size) if size != -1 else "count" if rest == 1 else f"count / {rest}"


def _room(shape: tuple[int, ...]) -> int:
    return ROOM if -1 in shape else max(prod(shape), 1)


def _example(shape: tuple[int, ...]) -> str:
    """Numbers that fit, for a first request."""
    count = prod(size for size in shape if size != -1)
    return "[20]" if count == 1 else f"[{', '.join(['0'] * min(count, 8))}{', …' if count > 8 else ''}]"
