"""What every language has in common: a toolchain that makes a module of a source, run with its words kept."""

from __future__ import annotations

import os
import subprocess
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from wasmind.errors import BuildFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from wasmind.projects.target import Target

SECONDS = 1800
"""The longest that one build may take."""
SHOWN = 20_000
"""Characters of a toolchain's output that are kept: the last ones."""


class Language(ABC):
    """A language that functions are written in."""

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    """Of its sources."""
    watched: ClassVar[tuple[str, ...]]
    """Suffixes of the files that a build may depend on."""

    @abstractmethod
    def build(self, target: Target, output: Path) -> None:
        """Build `target`, and write the module to `output`. Raises BuildFailed, ToolMissing."""

    def run(
        self, target: Target, command: Sequence[str | Path], environment: Mapping[str, str] | None = None
    ) -> None:
        """Run a toolchain in the project's directory. Raises BuildFailed with what it printed."""
        words = [str(word) for word in command]
        try:
            done = subprocess.run(
                words,
                cwd=target.directory,
                env={**os.environ, "RUST_BACKTRACE": "0", **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
                timeout=SECONDS,
            )
        except OSError as error:
            raise BuildFailed(f"{words[0]} cannot be started", cause=str(error)) from error
        except subprocess.TimeoutExpired as error:
            raise BuildFailed(f"building {target.name} took more than {SECONDS} s") from error
        if done.returncode:
            raise self.refused(target, done.returncode, done.stdout[-SHOWN:].strip())

    def refused(self, target: Target, code: int, output: str) -> BuildFailed:
        """What it means that the toolchain ended with this exit code."""
        return BuildFailed(
            f"{target.source.name} does not build",
            cause=f"the toolchain for {self.name} ended with {code}",
            output=output,
        )
