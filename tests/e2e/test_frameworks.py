"""A node that serves a model on each framework, to a real guest: by its name, and brought as bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from support import onnx_models, openvino_models, saved_models, torchscript_models
from support.commands import wasmind
from support.frameworks import LINEAR, needs
from support.guests import build
from support.nodes import NodeProcess, running
from wasmind.catalog.runtimes import installed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

QUICK = ("onnx", "openvino", "tflite")
SLOW = ("pytorch", "tensorflow")
ENCODINGS = {"openvino": 0, "onnx": 1, "tensorflow": 2, "pytorch": 3, "tensorflowlite": 4, "autodetect": 6}
NODE = """
[node]
workers = 1
ports = { functions = 0, api = 0 }

[functions.bring]
module = "bring.wasm"
route = "/bring/*"
allow_load = true
limits = { cpu_ms = 1000 }

[functions.ask]
module = "ask.wasm"
route = "/ask/*"
models = [MODELS]
limits = { cpu_ms = 1000 }
"""


def started(directory: Path, runtimes: tuple[str, ...]) -> Iterator[NodeProcess]:
    models = {}
    config = ""
    for one in LINEAR:
        if one.runtime in runtimes and installed(one.runtime):
            name = f"{one.runtime}-{one.encoding}"
            home = directory / name
            home.mkdir()
            models[name] = one.write(home)
            config += f'[models.{name}]\npath = "{models[name]}"\nruntime = "{one.runtime}"\n'
    text = NODE.replace("MODELS", ", ".join(f'"{name}"' for name in models)) + config
    (directory / "bring.wasm").write_bytes(build("bring.c"))
    with running(directory, text) as node:
        yield node


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    yield from started(tmp_path_factory.mktemp("frameworks"), QUICK)


def brought(node: NodeProcess, encoding: str, first: bytes, second: bytes = b"", target: int = 0) -> str:
    body = struct.pack("<I", len(first)) + first + second
    return node.get(f"/bring/{ENCODINGS[encoding]}/{target}", method="POST", body=body).text


ANSWER = "3 5 7 9"
NAMES = [f"{one.runtime}-{one.encoding}" for one in LINEAR if one.runtime in QUICK]


@pytest.mark.parametrize("name", NAMES)
def test_a_guest_names_a_model_of_each_framework(quick: NodeProcess, name: str) -> None:
    assert quick.get(f"/ask/{name}").text.strip() == ANSWER
    model = quick.model(name)
    assert (model.state, model.encoding) == ("ready", name.partition("-")[2])
    assert model.memory is not None
    assert model.memory > 10 << 20


@pytest.mark.parametrize("encoding", ["openvino", "autodetect"])
def test_a_guest_brings_an_openvino_model_as_two_builders(quick: NodeProcess, encoding: str) -> None:
    xml = openvino_models.linear().encode()
    assert brought(quick, encoding, xml, openvino_models.WEIGHTS).strip() == ANSWER


def test_a_guest_that_forgets_the_weights_is_told(quick: NodeProcess) -> None:
    assert brought(quick, "openvino", openvino_models.linear(offset=4).encode()).startswith("load: ")
    assert "give it as the second builder" in quick.log


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["tensorflow", "tensorflowlite", "onnx"])
def test_a_guest_brings_a_model_in_one_builder(quick: NodeProcess, encoding: str) -> None:
    from support import tflite_models

    data = {
        "tensorflow": saved_models.linear(),
        "tensorflowlite": tflite_models.linear(),
        "onnx": onnx_models.linear(),
    }[encoding]
    assert brought(quick, encoding, data).strip() == ANSWER
    assert brought(quick, "autodetect", data).strip() == ANSWER


def test_a_guest_that_asks_for_a_device_that_is_not_there(quick: NodeProcess) -> None:
    """unsupported_operation is 6 in the core ABI; nothing is loaded elsewhere in its place."""
    assert brought(quick, "onnx", onnx_models.linear(), target=1).startswith("load: 6")


@pytest.mark.slow
def test_the_commands_know_each(quick: NodeProcess) -> None:
    for name in NAMES:
        ended = wasmind("models", "show", name, "--json", cwd=quick.directory)
        assert ended.code == 0, ended.out
        assert ended.json["inputs"] == [{"name": "x", "tensor": "f32 [1,4]"}] or "x" in str(
            ended.json["inputs"]
        )
    ended = wasmind("models", "test", "openvino-openvino", "--count", "2", "--json", cwd=quick.directory)
    assert ended.code == 0, ended.out
    assert ended.json["runtime"].startswith("openvino ")
    listed = wasmind("models", "ls", "--json", cwd=quick.directory).json
    assert {row["name"] for row in listed} == set(NAMES)


@pytest.mark.slow
@needs(*SLOW)
def test_pytorch_and_tensorflow(tmp_path: Path) -> None:
    for node in started(tmp_path, SLOW):
        for name in ("pytorch-pytorch", "tensorflow-tensorflow"):
            assert node.get(f"/ask/{name}").text.strip() == ANSWER
            ended = wasmind("models", "test", name, "--count", "2", "--json", cwd=node.directory)
            assert ended.code == 0, ended.out
        assert brought(node, "pytorch", torchscript_models.model("linear")).strip() == ANSWER
