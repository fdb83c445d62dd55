"""Installs the toolchains that slow tests build functions with: `python -m support.tools`.

componentize-py and ziglang come with the environment; these come from npm, where npm is there.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from wasmind.projects import assemblyscript, javascript

TOOLS = Path(__file__).parents[2] / "build" / "tools" / "js"
"""The directory whose node_modules they are in."""
PACKAGES = javascript.PACKAGES | assemblyscript.PACKAGES


def main() -> int:
    """Install what is missing, or say why it cannot be."""
    if not shutil.which("npm") or not shutil.which("node"):
        sys.stderr.write("node or npm is not installed: tests that build JavaScript will be skipped\n")
        return 0
    manifest = json.dumps({"private": True, "dependencies": PACKAGES}, indent=2)
    stamp = TOOLS / ".installed"
    if stamp.exists() and stamp.read_text() == manifest:
        return 0
    sys.stderr.write("Installing the toolchains for JavaScript and AssemblyScript (about 400 MB, once) …\n")
    TOOLS.mkdir(parents=True, exist_ok=True)
    (TOOLS / "package.json").write_text(manifest)
    done = subprocess.run(["npm", "install", "--no-audit", "--no-fund"], cwd=TOOLS, check=False)
    if done.returncode:
        sys.stderr.write("npm failed: tests that build JavaScript will be skipped\n")
        return 0
    stamp.write_text(manifest)
    return 0


if __name__ == "__main__":
    sys.exit(main())
