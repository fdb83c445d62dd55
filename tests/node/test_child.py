"""Processes: started by module name in a session of their own, stopped, and told how they ended."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from wasmind.node.child import Child, how_it_ended, raise_descriptor_limit


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that children run; its text is for the test to write."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "some_child.py"


async def test_a_child_gets_its_arguments_and_descriptors_and_nothing_else(module: Path) -> None:
    reader, writer = os.pipe()
    other, _ = os.pipe()
    module.write_text(
        "import os, sys\n"
        "fd = int(sys.argv[1])\n"
        "own = os.getsid(0) == os.getpid()\n"
        "others = [n for n in os.listdir('/proc/self/fd') if int(n) not in (0, 1, 2, fd)]\n"
        "os.write(fd, f'{own} {len(others) <= 1}'.encode())\n"
    )
    os.set_inheritable(other, False)
    child = await Child.start("some_child", [str(writer)], [writer])
    assert await child.wait() == "it ended with exit code 0"
    os.close(writer)
    assert os.read(reader, 100) == b"True True"
    os.close(reader)
    os.close(other)


async def test_a_child_is_asked_first_and_killed_when_it_does_not_listen(
    module: Path, tmp_path: Path
) -> None:
    marker = tmp_path / "started"
    module.write_text(
        "import signal, sys, time, pathlib\n"
        "if sys.argv[2] == 'deaf': signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "time.sleep(60)\n"
    )
    for manner, words in (("polite", "it was killed by SIGTERM"), ("deaf", "it was killed by SIGKILL")):
        child = await Child.start("some_child", [str(marker), manner], [])
        while not marker.exists():
            time.sleep(0.01)
        marker.unlink()
        await child.stop(0.3)
        assert await child.wait() == words
    child.kill()  # harmless after its end


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "it ended with exit code 0"),
        (3, "it ended with exit code 3"),
        (-signal.SIGSEGV, "it was killed by SIGSEGV"),
        (-50, "it was killed by signal 50"),
    ],
)
def test_ends_are_told_in_words(code: int, words: str) -> None:
    assert how_it_ended(code) == words


def test_the_descriptor_limit_is_as_high_as_the_system_allows() -> None:
    import resource

    assert raise_descriptor_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[1]
