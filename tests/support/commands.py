"""The command line, run as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class Ended:
    """A command that has ended."""

    def __init__(self, process: subprocess.CompletedProcess[bytes]) -> None:
        self.code = process.returncode
        self.stdout = process.stdout
        self.out = process.stdout.decode(errors="replace")
        self.err = process.stderr.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


def wasmind(
    *arguments: object, cwd: Path, stdin: bytes = b"", seconds: float = 60, **environment: str
) -> Ended:
    """Run `wasmind ARGUMENTS` in `cwd`, whose cache it uses."""
    return Ended(
        subprocess.run(
            [sys.executable, "-m", "wasmind", *map(str, arguments)],
            cwd=cwd,
            input=stdin,
            capture_output=True,
            timeout=seconds,
            env={**os.environ, "XDG_CACHE_HOME": str(cwd / "cache"), "COLUMNS": "200", **environment},
        )
    )
