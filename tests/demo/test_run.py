"""The whole demo, as a user starts it: a node with confined processes, photos, load, Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.languages import use
from wasmind import config
from wasmind.demo import prepare, run
from wasmind.demo.languages import Variant
from wasmind.demo.screen import Steps
from wasmind.errors import NodeError

pytestmark = pytest.mark.slow

DEMO = [sys.executable, "-m", "wasmind", "demo", "--port", "0", "--api-port", "0", "--seconds", "0.3"]
COMMAND = [*DEMO, "--lang", "c"]


def test_once(tmp_path: Path, photos: dict[str, bytes]) -> None:
    done = subprocess.run(
        [*COMMAND, "--once", "--json"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    best = {entry["photo"].split(".")[0]: entry["classes"][0]["label"] for entry in found["photos"]}
    assert best == {"coffee": "espresso", "camera": "tripod", "chelsea": "tiger cat", "rocket": "missile"}
    assert set(best) == set(photos)
    for entry in found["photos"]:
        assert len(entry["classes"]) == 5
        assert set(entry["timing_ms"]) == {"sandbox", "queue", "inference"}
        assert sum(entry["timing_ms"].values()) < entry["ms"]
    assert found["load"]["failed"] == 0
    assert found["load"]["per_second"] > 1
    assert "✓ Compiling the function" in done.stderr


@pytest.mark.slow
def test_the_same_model_called_from_several_languages(
    tmp_path: Path, photos: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    use("javascript", monkeypatch)
    words = [*DEMO, "--lang", "python", "--lang", "javascript", "--once"]
    done = subprocess.run([*words, "--json"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["languages"]
    assert [each["language"] for each in found] == ["C", "Python", "JavaScript"]
    in_c, *others = [[(one["label"], one["probability"]) for one in each["classes"]] for each in found]
    assert all(other == in_c for other in others), "one model, one answer"
    again = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "Building the function" not in again.stderr
    assert "called from" in again.stdout


@contextmanager
def demo(directory: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*COMMAND, *words], cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_it_stays_up_for_the_printed_commands_until_ctrl_c(tmp_path: Path, photos: dict[str, bytes]) -> None:
    with demo(tmp_path) as process:
        printed = []
        assert process.stdout
        for line in process.stdout:
            printed.append(line)
            if line.startswith("Ctrl-C"):
                break
        (curl, convert) = (line.strip() for line in printed if "curl --data-binary" in line)
        found = subprocess.run(curl, shell=True, cwd=tmp_path, capture_output=True, check=True).stdout
        assert json.loads(found)["classes"][0]["label"] == "espresso"
        photo = shlex.quote(str(next(path for path in prepare.photos() if path.stem == "camera")))
        converted = convert.replace("PHOTO", photo)
        found = subprocess.run(converted, shell=True, capture_output=True, check=True).stdout
        assert json.loads(found)["classes"][0]["label"] == "tripod"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert "espresso" in "".join(printed)
        assert re.search(r"sustains \d+ requests per second", "".join(printed))


def test_ctrl_c_while_it_starts_ends_it(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        assert process.stderr
        for line in process.stderr:
            if "Building" in line or "Converting" in line:
                break
        process.send_signal(signal.SIGINT)
        assert process.wait(20) in (0, 130)
        assert not list(Path(os.environ.get("XDG_RUNTIME_DIR", "/tmp")).glob(f"wasmind-*{process.pid}*"))


def test_ctrl_c_while_it_measures_ends_it(tmp_path: Path) -> None:
    with demo(tmp_path, "--seconds", "60") as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("rocket"):
                break
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "Traceback" not in log


# --- what it serves and where -------------------------------------------------------------------------------


def test_the_configuration_can_be_served_by_hand(tmp_path: Path) -> None:
    prepared = prepare.Prepared(tmp_path / 'a "model".onnx', tmp_path / "labels.txt")
    found = run.configuration(tmp_path, prepared, 8080, 8090)
    assert found == config.load(tmp_path / "wasmind.toml")
    assert found.models["classifier"].path == prepared.model
    assert found.functions["classify"].models == ["classifier"]
    assert found.node.state == tmp_path / "state"


def test_other_languages_are_functions_beside_it(tmp_path: Path) -> None:
    prepared = prepare.Prepared(tmp_path / "model.onnx", tmp_path / "labels.txt")
    others = [Variant("python", tmp_path / "p.wasm")]
    found = run.configuration(tmp_path, prepared, 8080, 8090, others).functions
    assert list(found) == ["classify", "classify-python"]
    assert found["classify-python"].routes == ("/classify-python",)
    assert found["classify-python"].module == tmp_path / "p.wasm"


def test_a_taken_port_is_told_and_another_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        assert run._free_port(taken, None, Steps()) == 0
        said = capsys.readouterr().err
        assert f"port {taken} on 127.0.0.1 is taken" in said
        assert "taking a free one" in said
        assert run._free_port(taken, 9, Steps()) == 9, "a chosen port is taken at its word"
    assert run._free_port(taken, None, Steps()) == taken


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(NodeError, match="cannot be prepared in") as caught:
        run.run(run.Options(directory=tmp_path / "taken"))
    assert "--dir" in caught.value.explain()


def test_a_file_that_is_no_photo(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no photo")
    with pytest.raises(NodeError, match="a photo cannot be read"):
        run._convert([path])
