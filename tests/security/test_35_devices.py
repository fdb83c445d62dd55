"""Row 35: a worker that has a device was taken over, and tries to reach more than that device."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from wasmind.worker.confine import probe

pytestmark = [
    pytest.mark.skipif(
        platform.machine() != "x86_64", reason="the attempts name their calls by x86-64 number"
    ),
    pytest.mark.skipif(not probe().complete, reason="this machine cannot confine"),
]

DRIVER = {"make executable memory", "make memory executable", "make a thread"}
"""What a driver needs: it compiles for its device, in threads of its own."""
REACHED = "ENOTTY"
"""What the kernel's zero device answers when it is asked as a GPU is."""


def tried(directory: Path, phase: str, *device: str) -> dict[str, str]:
    model, secret = directory / "model.onnx", directory / "secret.onnx"
    model.write_bytes(b"weights")
    secret.write_bytes(b"another tenant's weights")
    captive = Path(__file__).with_name("captive.py")
    command = [sys.executable, "-P", captive, model, secret, "onnx", "onnx", phase, *device]
    ended = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    found: dict[str, str] = json.loads(ended.stdout)
    return found


@pytest.mark.parametrize("phase", ["load", "serve"])
def test_it_has_its_device_and_nothing_else(tmp_path: Path, phase: str) -> None:
    found = tried(tmp_path, phase, "device")
    assert {name: found.pop(name) for name in DRIVER if name in found} == {
        name: "done" for name in DRIVER if name != "make a thread" or phase == "serve"
    }
    if phase == "load":
        assert found.pop("call memfd_create") == "EFAULT", "allowed, but it needs a name"
        assert found.pop("drive its device") == REACHED
    assert found.pop("read the model") == ("done" if phase == "load" else "EPERM")
    assert found.pop("call clone3") in ("ENOSYS", "EPERM")
    through = {name: got for name, got in found.items() if got not in ("EACCES", "EPERM")}
    assert through.keys() <= {"load a library"}
    assert "cannot open shared object file" in through.get("load a library", "cannot open shared object file")
    assert len(found) > 60


def test_without_a_device_nothing_of_it_is_there(tmp_path: Path) -> None:
    found = tried(tmp_path, "load")
    wanted = {*DRIVER, "call memfd_create", "drive its device", "write to what it may only read"}
    assert {found[name] for name in wanted if name in found} <= {"EACCES", "EPERM"}
