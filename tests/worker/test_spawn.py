"""Model workers from the outside: ready, used, stopped, killed, and how each end is told."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from support.onnx_models import FLOAT, identity, linear
from support.workers import served, spec_of
from wasmind.catalog.files import ModelFile
from wasmind.errors import InvalidEncoding, ModelLoadFailed, NnError, UnsupportedOperation
from wasmind.worker.spawn import _environment, listen, spawn

if TYPE_CHECKING:
    from wasmind.worker.spec import WorkerSpec


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "linear.onnx"
    path.write_bytes(linear())
    return path


async def refusal(spec: WorkerSpec, directory: Path) -> tuple[NnError, str]:
    """Why a model is not served, and how its process then ends."""
    with listen(directory / "s.sock") as listener:
        process = await spawn(spec, listener)
        with pytest.raises((ModelLoadFailed, InvalidEncoding, UnsupportedOperation)) as caught:
            await process.ready()
        return caught.value, (await process.wait()).reason


async def test_it_says_what_it_serves(tmp_path: Path) -> None:
    async with served(linear(), tmp_path) as made:
        ready = made.ready
        assert [str(spec) for spec in ready.signature.inputs] == ["f32 [1,4]"]
        assert ready.runtime.startswith("onnxruntime ")
        assert ready.load_ms > 0
        assert 20 << 20 < ready.memory < 1 << 30
        assert ready.batch == 1
        assert ready.confinement.complete
        assert ready.notes == ()


async def test_what_it_uses_can_be_read(tmp_path: Path) -> None:
    async with served(linear(), tmp_path) as made:
        usage = made.process.usage()
        assert usage is not None
        assert usage.memory > 20 << 20
        assert usage.cpu_s > 0
        assert usage.threads == 2
        await made.process.stop()
        assert made.process.usage() is None


async def test_stopping_is_expected_and_quick(tmp_path: Path) -> None:
    async with served(linear(), tmp_path) as made:
        death = await made.process.stop()
        assert (death.reason, death.status, death.expected) == ("stopped", 0, True)
        assert await made.process.stop() == death


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGKILL, "killed by signal 9 (SIGKILL)"),
        (signal.SIGSEGV, "killed by signal 11 (SIGSEGV)"),
        (signal.SIGALRM, "killed: a run went over its limit of 30 s and did not stop"),
    ],
)
async def test_a_signal_is_told_by_name(tmp_path: Path, number: int, words: str) -> None:
    async with served(linear(), tmp_path) as made:
        os.kill(made.process.pid, number)
        death = await made.process.wait()
        assert (death.reason, death.status, death.expected) == (words, -number, False)


async def test_a_reason_given_by_who_kills_it_is_told(tmp_path: Path) -> None:
    async with served(linear(), tmp_path) as made:
        made.process.kill("killed: evicted")
        made.process.kill("killed: again")
        assert (await made.process.wait()).reason == "killed: evicted"
        made.process.kill("too late")


async def test_signals_to_the_whole_group_are_left_to_its_parent(tmp_path: Path) -> None:
    async with served(linear(), tmp_path) as made:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(made.process.pid, number)
        assert (await made.infer(np.ones((1, 4), np.float32)))[0].tolist() == [[3.0] * 4]


async def test_a_broken_model_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(linear()[:-40])
    error, reason = await refusal(spec_of(path), tmp_path)
    assert isinstance(error, ModelLoadFailed)
    assert "protobuf" in error.explain().lower()
    assert reason == "exited with status 3 while loading" or reason.startswith("exited with status 3")


async def test_a_model_that_is_gone_is_explained(model: Path, tmp_path: Path) -> None:
    spec = spec_of(model)
    model.unlink()
    error, _ = await refusal(spec, tmp_path)
    assert str(model) in error.explain() or "gone" in error.explain()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"runtime": "tflite"}, "does not read the encoding 'onnx'"),
        ({"encoding": "pytorch"}, "does not read the encoding 'pytorch'"),
    ],
)
async def test_what_no_runtime_reads_is_refused(
    model: Path, tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    error, _ = await refusal(spec_of(model, **settings), tmp_path)
    assert isinstance(error, InvalidEncoding)
    assert words in error.message
    assert error.remedy


async def test_too_little_memory_is_refused_with_what_is_needed(model: Path, tmp_path: Path) -> None:
    error, _ = await refusal(spec_of(model, memory=100 << 20), tmp_path)
    assert "160 MiB" in error.explain()


async def test_a_target_that_is_not_there_is_refused(model: Path, tmp_path: Path) -> None:
    error, _ = await refusal(spec_of(model, target="gpu"), tmp_path)
    assert isinstance(error, UnsupportedOperation)
    assert "no GPU for onnxruntime" in error.message


async def test_one_that_loads_is_stopped_at_once(model: Path, tmp_path: Path) -> None:
    with listen(tmp_path / "s.sock") as listener:
        process = await spawn(spec_of(model), listener)
        death = await process.stop(60)
    assert (death.reason, death.expected) == ("stopped while loading", True)


async def test_a_load_that_does_not_end_is_killed(model: Path, tmp_path: Path) -> None:
    error, reason = await refusal(spec_of(model, load_timeout_ms=50), tmp_path)
    assert reason == "killed: loading took longer than 0.05 s"
    assert error.cause == reason


async def test_dying_while_loading_is_told(model: Path, tmp_path: Path) -> None:
    with listen(tmp_path / "s.sock") as listener:
        process = await spawn(spec_of(model), listener)
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(ModelLoadFailed, match="'linear' ended while loading") as caught:
            await process.ready()
        assert caught.value.cause == "killed by signal 9 (SIGKILL) while loading"


async def test_it_dies_with_its_parent(model: Path, tmp_path: Path) -> None:
    script = f"""
import asyncio, sys
from pathlib import Path
from support.workers import spec_of
from wasmind.worker.spawn import listen, spawn
async def main():
    process = await spawn(spec_of(Path({str(model)!r})), listen(Path({str(tmp_path / "o.sock")!r})))
    await process.ready()
    print(process.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    paths = os.pathsep.join(path for path in sys.path if path)
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, env=os.environ | {"PYTHONPATH": paths}
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        await asyncio.sleep(0.02)
    pytest.fail("the worker outlived its parent")


AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="nobody else may look into such a process")


@AS_ROOT
async def test_the_parents_secrets_do_not_reach_it(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("ORT_LOAD_CONFIG_FROM_MODEL", "1")
    async with served(model, tmp_path) as made:
        environment = Path(f"/proc/{made.process.pid}/environ").read_bytes()
        assert b"canary" not in environment
        assert b"ORT_LOAD" not in environment


@AS_ROOT
async def test_only_what_it_needs_is_open_in_it(tmp_path: Path) -> None:
    leaked = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    try:
        async with served(linear(), tmp_path) as made:
            await made.infer(np.ones((1, 4), np.float32))
            directory = f"/proc/{made.process.pid}/fd"
            targets = sorted(
                os.readlink(f"{directory}/{name}").split(":")[0] for name in os.listdir(directory)
            )
    finally:
        os.close(leaked)
    assert set(targets) <= {
        "/dev/null",
        "anon_inode",
        "pipe",
        "socket",
        f"/proc/{made.process.pid}/statm",
        "/memfd",
    }
    assert targets.count("socket") == 3  # its parent, the listener, one edge


def test_of_the_environment_little_is_passed_on(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "canary")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    passed = _environment(spec_of(model))
    assert passed["PYTHONPATH"] == "/somewhere"
    assert "canary" not in passed.values()
    assert "HOME" not in passed


async def test_only_this_user_may_connect(tmp_path: Path) -> None:
    (tmp_path / "s.sock").write_text("left over from a run that was killed")
    before = os.umask(0)
    try:
        with listen(tmp_path / "s.sock"):
            mode = os.stat(tmp_path / "s.sock").st_mode
    finally:
        assert os.umask(before) == 0
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) & 0o077 == 0


async def test_two_kinds_of_paths_work(tmp_path: Path) -> None:
    directory = tmp_path / "with spaces, and ünïcode"
    directory.mkdir()
    async with served(identity(FLOAT, (2,)), directory) as made:
        x = np.array([1, 2], np.float32)
        assert (await made.infer(x))[0].tolist() == [1, 2]


async def test_a_file_that_is_listed_and_gone_is_no_obstacle(model: Path, tmp_path: Path) -> None:
    files = (ModelFile(str(model), "model"), ModelFile(str(tmp_path / "gone.data"), "data"))
    async with served(model, tmp_path, files=files) as made:
        assert made.ready.signature.inputs
