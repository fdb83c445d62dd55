"""Row 15: ONNX external data that leads out of the model's own files. A canary stays unread."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from support.workers import served, spec_of
from wasmind.catalog.files import files_of
from wasmind.errors import ModelLoadFailed
from wasmind.worker.spawn import listen, spawn

if TYPE_CHECKING:
    from pathlib import Path

CANARY = np.array([7.25, 7.5], np.float32)


def model_with(location: str) -> bytes:
    """y = x + w for f32 [2], with w in another file."""
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2])
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "8")):
        weights.external_data.append(onnx.StringStringEntryProto(key=key, value=value))
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
        [weights],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    return made.SerializeToString()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A model's directory, with a canary above it and another model's weights beside it."""
    (tmp_path / "canary.bin").write_bytes(CANARY.tobytes())
    directory = tmp_path / "models"
    (directory / "sub").mkdir(parents=True)
    (directory / "other.onnx.data").write_bytes(CANARY.tobytes())
    return directory


def symbolic(home: Path) -> str:
    (home / "model.onnx.data").symlink_to(home.parent / "canary.bin")
    return "model.onnx.data"


def hard(home: Path) -> str:
    os.link(home.parent / "canary.bin", home / "model.onnx.data")
    return "model.onnx.data"


def through_a_directory(home: Path) -> str:
    (home / "sub" / "up").symlink_to(home.parent)
    return "sub/up/canary.bin"


ATTACKS = {
    "dots": lambda home: "../canary.bin",
    "dots inside": lambda home: "sub/../../canary.bin",
    "absolute": lambda home: str(home.parent / "canary.bin"),
    "symbolic link": symbolic,
    "hard link": hard,
    "link to a directory": through_a_directory,
    "another model's weights": lambda home: "other.onnx.data",
    "its parent's memory": lambda home: f"/proc/{os.getpid()}/mem",
    "its own environment": lambda home: "/proc/self/environ",
    "a device": lambda home: "/dev/zero",
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_what_it_names_stays_unread(home: Path, attack: str) -> None:
    path = home / "model.onnx"
    path.write_bytes(model_with(ATTACKS[attack](home)))
    with listen(home.parent / "s.sock") as listener:
        process = await spawn(spec_of(path), listener)
        with pytest.raises(ModelLoadFailed) as caught:
            await process.ready()
        await process.wait()
    assert "7.25" not in caught.value.explain()


@pytest.mark.parametrize("attack", ["symbolic link", "hard link"])
async def test_not_even_in_a_directory_of_its_own(home: Path, attack: str) -> None:
    (home / "other.onnx.data").unlink()
    (home / "model.onnx").write_bytes(model_with(ATTACKS[attack](home)))
    granted = [file.path for file in files_of(home)]
    assert granted == [str(home / "model.onnx")]
    with listen(home.parent / "s.sock") as listener:
        process = await spawn(spec_of(home / "model.onnx", files=files_of(home)), listener)
        with pytest.raises(ModelLoadFailed):
            await process.ready()
        await process.wait()


@pytest.mark.parametrize("location", ["model.onnx.data", "sub/deep.bin"])
async def test_its_own_weights_are_read(home: Path, location: str) -> None:
    (home / "model.onnx").write_bytes(model_with(location))
    (home / location).write_bytes(CANARY.tobytes())
    whole = location.startswith("sub/")
    files = files_of(home if whole else home / "model.onnx")
    async with served(home / "model.onnx", home.parent, files=files) as made:
        assert (await made.infer(np.zeros(2, np.float32)))[0].tolist() == CANARY.tolist()


async def test_a_file_put_there_after_it_was_configured_is_not_read(home: Path) -> None:
    """The grant is a list of files, taken before the model is looked into."""
    path = home / "model.onnx"
    path.write_bytes(model_with("model.onnx.data"))
    spec = spec_of(path)
    (home / "model.onnx.data").symlink_to(home.parent / "canary.bin")
    with listen(home.parent / "s.sock") as listener:
        process = await spawn(spec, listener)
        with pytest.raises(ModelLoadFailed):
            await process.ready()
        await process.wait()
