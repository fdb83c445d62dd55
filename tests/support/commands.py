"""The command line, run as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ZIG = {"ZIG_GLOBAL_CACHE_DIR": os.environ.get("ZIG_GLOBAL_CACHE_DIR", str(Path.home() / ".cache" / "zig"))}
"""Where ziglang keeps the libraries it built, which take it a minute."""


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
            env={**os.environ, **ZIG, "XDG_CACHE_HOME": str(cwd / "cache"), "COLUMNS": "200", **environment},
        )
    )
