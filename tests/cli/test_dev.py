"""`wasmind dev`: serves, builds again when files change, and keeps the old version when that fails."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import structlog

from support.commands import wasmind
from wasmind import config
from wasmind.cli.watching import Project, _counts

CONFIG = """
[functions.hello]
source = "hello.c"
module = "build/hello.wasm"
route = "/"
"""
HELLO = '#include <stdio.h>\nint main(void) {{ puts("Content-Type: text/plain\\n\\n{}"); }}\n'
PATIENCE_S = 90.0


class Dev:
    """A running `wasmind dev`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        command = [sys.executable, "-m", "wasmind", "dev", "--port", "0", "--api-port", "0"]
        self.path = directory.with_name(f"{directory.name}.log")
        with self.path.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log)

    @property
    def log(self) -> str:
        return self.path.read_text()

    def until(self, holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, self.log
            assert self.process.poll() is None, self.log
            time.sleep(0.05)

    def said(self, words: str, times: int = 1) -> bool:
        return self.log.count(words) >= times

    def get(self) -> str:
        found = re.search(r"ready  functions=(\S+)", self.log)
        assert found
        connection = http.client.HTTPConnection(urlsplit(found[1]).netloc, timeout=30)
        try:
            connection.request("GET", "/")
            return connection.getresponse().read().decode().strip()
        finally:
            connection.close()


@contextmanager
def developing(directory: Path) -> Iterator[Dev]:
    dev = Dev(directory)
    try:
        yield dev
        dev.process.send_signal(signal.SIGINT)
        assert dev.process.wait(30) == 0, dev.log
        assert "Traceback" not in dev.log
    finally:
        dev.process.kill()
        dev.process.wait()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "wasmind.toml").write_text(CONFIG)
    (directory / "hello.c").write_text(HELLO.format("one"))
    return directory


def test_what_a_change_calls_for(project: Path) -> None:
    file, source = project / "wasmind.toml", project / "hello.c"
    file.write_text(CONFIG + '[models.m]\npath = "m.onnx"\n')
    followed = Project(lambda: config.load(file), file, structlog.get_logger())
    module = project / "build" / "hello.wasm"

    def built_by(*files: Path) -> bool:
        """Whether taking up these files makes the module anew; there is something to reload either way."""
        before = module.stat().st_ino
        assert followed.take_up(files)
        return module.stat().st_ino != before

    assert followed.build_stale()
    assert module.exists()
    assert built_by(source)
    assert built_by(project / "new.h")
    assert not built_by(file)
    assert not built_by(project / "m.onnx")
    assert not followed.take_up([project / "notes.txt"])
    file.write_text(file.read_text().replace('route = "/"', 'route = "/"\nmodels = ["m"]'))
    assert built_by(file), "a function that calls models is built for another world"
    assert not built_by(file)


@pytest.mark.slow
def test_it_follows_what_is_written(project: Path) -> None:
    with developing(project) as dev:
        dev.until(lambda: dev.said("ready  functions="))
        assert dev.get() == "one"

        (project / "hello.c").write_text(HELLO.format("two"))
        dev.until(lambda: dev.said("reloaded", 1))
        assert dev.get() == "two"

        (project / "hello.c").write_text("int main(void) { nonsense }")
        dev.until(lambda: dev.said("hello.c does not build"))
        assert "nonsense" in dev.log
        assert dev.get() == "two", "what was served goes on"

        (project / "hello.c").write_text(HELLO.format("three"))
        dev.until(lambda: dev.said("reloaded", 2))
        assert dev.get() == "three"

        (project / "wasmind.toml").write_text(CONFIG + "nonsense = 1\n")
        dev.until(lambda: dev.said("nonsense", 2))
        assert dev.get() == "three"
        (project / "wasmind.toml").write_text(CONFIG + 'env = { A = "b" }\n')
        dev.until(lambda: dev.said("reloaded", 3))

        changes = dev.log.count("changed")
        (project / "notes.txt").write_text("nothing to do with it")
        dev.until(lambda: dev.said("changed", changes + 1))
        assert dev.log.count("reloaded") == 3


@pytest.mark.slow
def test_it_waits_for_a_source_that_builds(project: Path) -> None:
    (project / "hello.c").write_text("nonsense")
    with developing(project) as dev:
        dev.until(lambda: dev.said("waiting for a change"))
        (project / "hello.c").write_text(HELLO.format("mended"))
        dev.until(lambda: dev.said("ready  functions="))
        assert dev.get() == "mended"


@pytest.mark.slow
def test_it_costs_nothing_while_nothing_changes(project: Path) -> None:
    with developing(project) as dev:
        dev.until(lambda: dev.said("ready  functions="))
        fields = Path(f"/proc/{dev.process.pid}/stat").read_text().rpartition(")")[2].split()
        before = int(fields[11]) + int(fields[12])
        time.sleep(2)
        fields = Path(f"/proc/{dev.process.pid}/stat").read_text().rpartition(")")[2].split()
        used = (int(fields[11]) + int(fields[12]) - before) / os.sysconf("SC_CLK_TCK")
        assert used < 0.2, "seconds of CPU in two seconds"


def test_without_a_configuration(tmp_path: Path) -> None:
    done = wasmind("dev", cwd=tmp_path)
    assert done.code == 2
    assert "cannot read wasmind.toml" in done.err


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("app.py", True),
        ("src/main.rs", True),
        ("wasmind.toml", True),
        ("build/app.wasm", False),
        ("app.wasm", False),
        (".wasmind/cache/x", False),
        ("node_modules/a/b.js", False),
        ("__pycache__/app.pyc", False),
    ],
)
def test_which_files_count(path: str, counts: bool) -> None:
    assert _counts(Path(path)) is counts
