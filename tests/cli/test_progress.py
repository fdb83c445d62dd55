"""A node coming up on a terminal: a bar that goes away, records that stay."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.nodes import prepare

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


def test_on_a_terminal_a_bar_shows_what_is_waited_for(tmp_path: Path) -> None:
    prepare(tmp_path)
    ours, theirs = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key not in ("CI", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "wasmind", "serve"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env=environment | {"TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(theirs)
    shown = b""
    while b"node: ready" not in shown:
        shown += os.read(ours, 65536)
    process.send_signal(signal.SIGINT)
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:
        pass  # the other end is closed
    os.close(ours)
    assert process.wait(20) == 0
    text = shown.decode()
    assert "compiling and loading" in text
    assert "0/3" in text
    assert "3/3" in text
    assert "model ready" in text
    assert "stopping: requests under way are finished first" in text
