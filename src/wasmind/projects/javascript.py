"""JavaScript, by componentize-js: a component with SpiderMonkey in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmind.errors import BuildFailed, ToolMissing
from wasmind.projects.language import Language
from wasmind.projects.places import WIT, guests, node

if TYPE_CHECKING:
    from pathlib import Path

    from wasmind.projects.target import Target

PACKAGES = {
    "@bytecodealliance/componentize-js": "0.23.0",
    "@bytecodealliance/jco": "1.35.0",
    "@bytecodealliance/preview2-shim": "0.17.9",
    "rolldown": "1.3.2",
}
"""What the project's own node_modules has to have.

componentize-js needs preview2-shim without saying so; versions after 0.17 find no files (os error 44).
"""
NOT_INSTALLED = 3
"""The exit code of guests/javascript/build.mjs for that."""


class JavaScript(Language):
    """The source is a module that exports `incomingHandler`."""

    name, suffixes, watched = "javascript", (".js", ".mjs"), (".js", ".mjs", ".json")

    def build(self, target: Target, output: Path) -> None:
        """Bundle and build with the packages of the project."""
        world = "wasmind-http-nn" if target.models else "wasmind-http"
        script = guests("javascript") / "build.mjs"
        self.run(target, [node(), script, target.source, WIT, world, output])

    def refused(self, target: Target, code: int, output: str) -> BuildFailed:
        """Tell how to install what is missing."""
        if code != NOT_INSTALLED:
            return super().refused(target, code, output)
        listed = (target.directory / "package.json").exists()
        words = " ".join(f"{name}@{version}" for name, version in PACKAGES.items())
        return ToolMissing(
            "the packages for building JavaScript are not installed",
            cause=output,
            remedy=f"in {target.directory}: " + ("npm install" if listed else f"npm install -D {words}"),
        )
