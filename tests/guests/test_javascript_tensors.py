"""The JavaScript helper's tensors, which need no component: guests/javascript/tensor.js."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def test_tensors() -> None:
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    tests = Path(__file__).with_name("tensors.test.mjs")
    done = subprocess.run(["node", "--test", tests], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout
    assert "# pass 0" not in done.stdout
