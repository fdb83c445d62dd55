"""The demo's function: what is shipped is what its source gives, and it does what its README says."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.backend import FixedModels, OnnxBackend
from support.guests import Run, load
from wasmind.demo import SIDE, prepare
from wasmind.errors import ModelBusy
from wasmind.nn.graph import Graph

if TYPE_CHECKING:
    from wasmind.sandbox import Engine, Program

ROOT = Path(__file__).parents[2]
SIZE = SIDE * SIDE * 3


@pytest.fixture(scope="module")
def classify(engine: Engine) -> Program:
    return load(engine, prepare.MODULE.read_bytes())


@pytest.fixture(scope="module")
def backend(prepared: prepare.Prepared) -> OnnxBackend:
    return OnnxBackend(prepared.model.read_bytes())


class Answer:
    """A CGI response."""

    def __init__(self, text: str) -> None:
        head, self.body = text.split("\n\n", 1)
        self.headers = dict(line.split(": ", 1) for line in head.splitlines())

    @property
    def status(self) -> str:
        return self.headers.get("Status", "200 OK")

    @property
    def json(self) -> Any:
        assert self.headers["Content-Type"] == "application/json"
        return json.loads(self.body)


def ask(program: Program, body: bytes, backend: OnnxBackend | None, announced: str | None = "") -> Answer:
    """Run the function as the edge does; `announced` is its CONTENT_LENGTH, None for a chunked body."""
    models = FixedModels(classifier=Graph("classifier", backend)) if backend else FixedModels()
    env = {} if announced is None else {"CONTENT_LENGTH": announced or str(len(body))}
    return Answer(asyncio.run(Run(program, models, stdin=body, env=env).run()).text)


# --- what it is -----------------------------------------------------------------------------------------


def test_it_is_built_from_its_source(tmp_path: Path) -> None:
    """The README's command, in a copy at another place, gives the shipped bytes."""
    shutil.copytree(ROOT / "examples/classify", tmp_path / "examples/classify")
    shutil.copytree(ROOT / "guests/c", tmp_path / "guests/c")
    readme = (ROOT / "examples/classify/README.md").read_text()
    (command,) = re.findall(r"^python (-m ziglang cc .*)$", readme, re.MULTILINE)
    directory = tmp_path / "examples/classify"
    subprocess.run([sys.executable, *command.split()], cwd=directory, check=True, capture_output=True)
    built, shipped = ((path).read_bytes() for path in (directory / "classify.wasm", prepare.MODULE))
    assert hashlib.sha256(built).hexdigest() == hashlib.sha256(shipped).hexdigest(), (
        f"rebuild it: cd examples/classify && python {command.replace('classify.wasm', str(prepare.MODULE))}"
    )


def test_it_is_small() -> None:
    assert prepare.MODULE.stat().st_size < 64 << 10


# --- what it answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("announced", ["", None], ids=["with a length", "chunked"])
@pytest.mark.parametrize(
    ("name", "label", "probability"), [("coffee", "espresso", 0.951), ("camera", "tripod", 0.937)]
)
def test_photos_are_classified(
    name: str,
    label: str,
    probability: float,
    announced: str | None,
    classify: Program,
    backend: OnnxBackend,
    photos: dict[str, bytes],
) -> None:
    found = ask(classify, photos[name], backend, announced).json
    assert [list(entry) for entry in found["classes"]] == [["label", "probability"]] * 5
    assert found["classes"][0]["label"] == label
    assert found["classes"][0]["probability"] == pytest.approx(probability, abs=2e-3)
    chances = [entry["probability"] for entry in found["classes"]]
    assert chances == sorted(chances, reverse=True)
    assert 0 < found["inference_ms"] < 10_000
    assert backend.held == 0


def test_its_five_are_the_likeliest(
    classify: Program, backend: OnnxBackend, photos: dict[str, bytes], prepared: prepare.Prepared
) -> None:
    import numpy as np

    image = np.frombuffer(photos["rocket"], np.uint8).reshape(1, SIDE, SIDE, 3)
    (probabilities,) = backend._session.run(None, {"image": image})
    labels = prepared.labels.read_text().splitlines()
    expected = [labels[position] for position in np.argsort(-probabilities[0])[:5]]
    found = ask(classify, photos["rocket"], backend).json
    assert [entry["label"] for entry in found["classes"]] == expected


# --- what it refuses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "announced", "said"),
    [
        (b"", None, "These were 0."),
        (b"", "0", "These were 0."),
        (b"", "x", "These were 0."),
        (bytes(SIZE - 1), "", f"These were {SIZE - 1}."),
        (bytes(SIZE + 1), "", "These were more."),
        (bytes(SIZE + 1), None, "These were more."),
        (bytes(SIZE * 3), None, "These were more."),
        (bytes(10), str(SIZE), "These were 10."),
        (b"", str(1 << 70), "These were more."),
        (b"", "-1", "These were more."),
    ],
)
def test_other_bodies_are_explained(
    body: bytes, announced: str | None, said: str, classify: Program, backend: OnnxBackend
) -> None:
    calls = backend.calls
    answer = ask(classify, body, backend, announced)
    assert answer.status == "400 Bad Request"
    assert f"Send the {SIZE} bytes of a 224x224 RGB image" in answer.body
    assert said in answer.body
    assert "python -m wasmind.demo.photo PHOTO > photo.rgb" in answer.body
    assert backend.calls == calls


def test_a_model_that_was_not_granted(classify: Program) -> None:
    answer = ask(classify, bytes(SIZE), None)
    assert answer.status == "500 Internal Server Error"
    assert answer.body == "load_by_name: not found\n"


def test_a_model_that_is_busy(
    classify: Program, backend: OnnxBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(*_: object) -> object:
        raise ModelBusy("its queue is full")

    monkeypatch.setattr(backend, "infer", busy)
    answer = ask(classify, bytes(SIZE), backend)
    assert answer.status == "503 Service Unavailable"
    assert answer.body == "compute: busy\n"
