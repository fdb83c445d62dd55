"""What holds a worker, where a machine offers it and where it does not. What it holds is row 22's test."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.onnx_models import linear
from support.workers import spec_of
from wasmind.errors import ModelLoadFailed
from wasmind.worker import confine
from wasmind.worker.spec import Confinement

if TYPE_CHECKING:
    from pathlib import Path

NOTHING = Confinement(landlock=0, seccomp=False, notes=("no Landlock", "no seccomp"))


def in_a_process(script: str, *arguments: str) -> dict[str, object]:
    """Run `script` in a fresh interpreter, since confinement is for good; it prints JSON."""
    ended = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, check=False, timeout=60
    )
    assert ended.returncode == 0, ended.stderr.decode()
    found: dict[str, object] = json.loads(ended.stdout)
    return found


def test_this_machine_says_what_it_offers() -> None:
    offered = confine.probe()
    assert offered.complete == (offered.landlock > 0 and offered.seccomp)
    assert len(offered.notes) == (offered.landlock == 0) + (not offered.seccomp)


def test_a_missing_feature_is_said_with_what_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(confine, "landlock_abi_version", missing)
    monkeypatch.setitem(sys.modules, "pyseccomp", None)
    offered = confine.probe()
    assert (offered.landlock, offered.seccomp, offered.complete) == (0, False, False)
    assert "Function not implemented" in offered.notes[0]
    assert "read any file" in offered.notes[0]
    assert "no seccomp" in offered.notes[1]


def test_a_machine_that_cannot_confine_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(linear())
    monkeypatch.setattr(confine, "probe", lambda: NOTHING)
    with pytest.raises(ModelLoadFailed, match="cannot be confined") as caught:
        confine.begin(spec_of(path))
    assert caught.value.cause == "no Landlock; no seccomp"
    assert "best-effort" in (caught.value.remedy or "")


_BEST_EFFORT = """
import json, sys, resource
from pathlib import Path
from support.workers import spec_of
from wasmind.worker import confine
from wasmind.worker.spec import Confinement
from wasmind.worker.syscalls import Profile
confine.probe = lambda: Confinement(landlock=0, seccomp=False, notes=("none",))
held = confine.begin(spec_of(Path(sys.argv[1]), confinement="best-effort", memory=1 << 30))
confine.before_load(spec_of(Path(sys.argv[1])), held, Profile())
confine.before_serve(held, Profile())
status = Path("/proc/self/status").read_text()
print(json.dumps({
    "notes": held.notes,
    "no_new_privs": "NoNewPrivs:\\t1" in status,
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "data": resource.getrlimit(resource.RLIMIT_DATA),
}))
"""


def test_best_effort_does_what_can_be_done_and_says_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(linear())
    found = in_a_process(
        f"import sys; sys.path.append({sys.path[0]!r})\n" + _with_paths(_BEST_EFFORT), str(path)
    )
    assert found == {"notes": ["none"], "no_new_privs": True, "core": [0, 0], "data": [1 << 30, 1 << 30]}


_STAGES = """
import json, os, sys
from pathlib import Path
from support.workers import spec_of
from wasmind.worker import confine
from wasmind.worker.syscalls import Profile
model, beside = sys.argv[1:]
def can(path):
    try:
        open(path, "rb").close()
        return True
    except OSError:
        return False
spec = spec_of(Path(model))
library = json.__file__
found = [[can(model), can(library), can(beside), can("/etc/passwd")]]
held = confine.begin(spec)
found.append([can(model), can(library), can(beside), can("/etc/passwd")])
confine.before_load(spec, held, Profile())
found.append([can(model), can(library), can(beside), can("/etc/passwd")])
confine.before_serve(held, Profile())
found.append([can(model), can(library), can(beside), can("/etc/passwd")])
print(json.dumps({"found": found}))
"""


@pytest.mark.skipif(not confine.probe().complete, reason="this machine cannot confine")
def test_each_stage_takes_more_away(tmp_path: Path) -> None:
    path, beside = tmp_path / "model.onnx", tmp_path / "beside"
    path.write_bytes(linear())
    beside.write_bytes(b"secret")
    found = in_a_process(_with_paths(_STAGES), str(path), str(beside))
    assert found["found"] == [
        [True, True, True, True],
        [True, True, False, False],
        [True, False, False, False],
        [False, False, False, False],
    ]


def test_threads_that_have_just_been_made_come_to_life() -> None:
    """A framework's own, on a busy machine: they begin when the last calls have been taken away."""
    script = """
import ctypes, json, time
import pyseccomp
from wasmind.worker.syscalls import Profile, allow_calls
libc = ctypes.CDLL(None)
usleep = ctypes.cast(libc.usleep, ctypes.c_void_p)
load = pyseccomp.SyscallFilter.load
def load_late(rules):
    thread, microseconds = ctypes.c_ulong(), ctypes.c_void_p(100_000)
    for _ in range(200):
        assert libc.pthread_create(ctypes.byref(thread), None, usleep, microseconds) == 0
    load(rules)
pyseccomp.SyscallFilter.load = load_late
allow_calls(Profile(), loading=False)
time.sleep(0.3)
print(json.dumps({"alive": True}))
"""
    assert in_a_process(script) == {"alive": True}


def test_a_lower_limit_of_the_system_is_kept() -> None:
    script = """
import json, resource
from wasmind.worker import confine
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
confine._limit_resources(1 << 30)
print(json.dumps({"files": resource.getrlimit(resource.RLIMIT_NOFILE)}))
"""
    assert in_a_process(script) == {"files": [100, 100]}


def _with_paths(script: str) -> str:
    return f"import sys; sys.path[:0] = {[path for path in sys.path if path]!r}\n{script}"
