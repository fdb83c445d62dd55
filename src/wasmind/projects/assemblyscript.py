"""AssemblyScript, by its compiler from npm: a core module."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from wasmind.errors import ToolMissing
from wasmind.projects.language import Language
from wasmind.projects.places import guests, node, program

if TYPE_CHECKING:
    from wasmind.projects.target import Target

PACKAGES = {"assemblyscript": "0.28.20"}


class AssemblyScript(Language):
    """The source exports `_start`, which speaks CGI."""

    name, suffixes, watched = "assemblyscript", (".ts",), (".ts", ".json")

    def build(self, target: Target, output: Path) -> None:
        """Build with the project's asc."""
        node()
        asc = program("asc", *_modules(target))
        if asc is None:
            (name, version), *_ = PACKAGES.items()
            raise ToolMissing(
                "the compiler for AssemblyScript is not installed",
                remedy=f"in {target.directory}: npm install -D {name}@{version}",
            )
        flags = ["-O3", "--noAssert", "--runtime", "stub", "--use", "abort="]
        source = os.path.relpath(target.source, target.directory)  # asc takes an absolute one for a package
        self.run(target, [asc, source, *flags, "--lib", guests("assemblyscript"), "-o", output])


def _modules(target: Target) -> list[Path]:
    """Where npm puts programs: in the project, above it, and where NODE_PATH says."""
    above = [directory / "node_modules" for directory in (target.directory, *target.directory.parents)]
    told = [Path(path) for path in os.environ.get("NODE_PATH", "").split(os.pathsep) if path]
    return [modules / ".bin" for modules in (*above, *told)]
