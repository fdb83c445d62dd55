"""Where the files are that projects are made with: interface definitions, helpers for guests, templates."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from wasmind.errors import ToolMissing

WIT = Path(__file__).with_name("wit")
"""The worlds that components are built for, with the packages they include."""
TEMPLATES = Path(__file__).with_name("templates")


def guests(language: str) -> Path:
    """The helpers for functions in a language: in the package, or in the tree it is installed from."""
    package = Path(__file__).parents[1]
    packed = package / "guests" / language
    return packed if packed.is_dir() else package.parents[1] / "guests" / language


def node() -> Path:
    """Node.js. Raises ToolMissing."""
    found = program("node")
    if found is None:
        raise ToolMissing(
            "Node.js is not installed", remedy="install version 20 or later: apt install nodejs npm"
        )
    return found


def program(name: str, *directories: Path) -> Path | None:
    """A program: of these directories, of the environment that wasmind runs in, or of the PATH."""
    own = (Path(sys.executable).parent, Path(sys.prefix) / "bin")
    path = os.pathsep.join(map(str, (*directories, *own)))
    found = shutil.which(name, path=path) or shutil.which(name)
    return Path(found) if found else None
