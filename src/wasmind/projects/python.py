"""Python, by componentize-py: a component with CPython in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmind.errors import BuildFailed, ToolMissing
from wasmind.projects.language import Language
from wasmind.projects.places import WIT, guests, program

if TYPE_CHECKING:
    from pathlib import Path

    from wasmind.projects.target import Target

PACKAGE = "componentize-py==0.25.1"


class Python(Language):
    """The source is a module whose `@handler` answers."""

    name, suffixes, watched = "python", (".py",), (".py",)

    def build(self, target: Target, output: Path) -> None:
        """Build with componentize-py, the project's own environment first."""
        tool = program("componentize-py", target.directory / ".venv" / "bin")
        if tool is None:
            raise ToolMissing("componentize-py is not installed", remedy=f"pip install {PACKAGE}")
        module = target.source.stem
        if not module.isidentifier():
            raise BuildFailed(
                f"{target.source.name} cannot be imported",
                cause="the name of a Python module is made of letters, digits and underscores",
            )
        world = "wasmind-http-nn" if target.models else "wasmind-http"
        paths = [target.source.parent, *({target.directory} - {target.source.parent}), guests("python")]
        command: list[str | Path] = [tool, "-d", WIT, "-w", world, "componentize"]
        command += [word for path in paths for word in ("-p", path)]
        self.run(target, [*command, module, "-o", output])

    def refused(self, target: Target, code: int, output: str) -> BuildFailed:
        """Tell what a missing binding means."""
        _, _, said = output.rpartition(
            "AssertionError: "
        )  # before it is a traceback of componentize-py itself
        error = super().refused(target, code, said.partition("\n\nStack backtrace:")[0].strip() or output)
        if "wit_world.imports" in output and not target.models:
            error.remedy = f'grant it a model: models = ["NAME"] under [functions.{target.name}]'
        return error
