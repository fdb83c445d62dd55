"""Row 22: a worker that was taken over opens sockets, reads files, forks, traces and signals its parent."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from support.frameworks import ONCE, Linear
from wasmind.worker.confine import probe

pytestmark = [
    pytest.mark.skipif(
        platform.machine() != "x86_64", reason="the attempts name their calls by x86-64 number"
    ),
    pytest.mark.skipif(not probe().complete, reason="this machine cannot confine"),
]

DENIED = {"EACCES", "EPERM"}


CODE = {"make executable memory", "make memory executable"}
READING = {"open the model again", "open any file"}
ALLOWED = {
    "openvino": CODE,
    "pytorch": CODE | {"make a thread"},
    "tensorflow": READING | {"make a thread"},
}
"""What a runtime needs so much that it is allowed: to compile what it runs, to make threads, to read."""


@pytest.fixture(scope="module", params=ONCE)
def linear(request: pytest.FixtureRequest) -> Linear:
    """A runtime whose framework is imported, and whose profile confines the captive."""
    return request.param


@pytest.fixture(scope="module", params=["load", "serve"])
def found(
    request: pytest.FixtureRequest, linear: Linear, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("models")
    model, secret = directory / "model.onnx", directory / "secret.onnx"
    model.write_bytes(b"weights")
    secret.write_bytes(b"another tenant's weights")
    captive = Path(__file__).with_name("captive.py")
    ended = subprocess.run(
        [sys.executable, "-P", captive, model, secret, linear.runtime, linear.encoding, request.param],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr.decode()
    assert model.read_bytes() == b"weights"
    assert sorted(path.name for path in directory.iterdir()) == ["model.onnx", "secret.onnx"]
    result: dict[str, str] = json.loads(ended.stdout)
    return result | {"phase": request.param}


def test_every_attempt_is_denied_by_the_kernel(found: dict[str, str], linear: Linear) -> None:
    expected = {
        "call clone3": {
            "ENOSYS",
            "EPERM",
        },  # libraries fall back by this answer; the call is refused all the same
        "make a thread": {"can't start new thread"},
        "load a library": {"cannot open shared object file"},
    }
    through = {
        name: got
        for name, got in found.items()
        if name not in ("read the model", "phase", *ALLOWED.get(linear.runtime, ()))
        and not any(wanted in got for wanted in expected.get(name, DENIED))
    }
    assert through == {}


def test_only_its_own_model_can_be_read_and_only_while_it_loads(
    found: dict[str, str], linear: Linear
) -> None:
    reads = found["phase"] == "load" or ALLOWED.get(linear.runtime, set()) >= READING
    assert found["read the model"] == ("done" if reads else "EPERM")


def test_enough_was_tried(found: dict[str, str]) -> None:
    assert len(found) > 60
