"""Row 15: an ONNX file that names data elsewhere (`../`, absolute, links) gets none of it."""

from __future__ import annotations

import ctypes
import os
import select
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from support.workers import served
from wasmind.catalog.files import files_of
from wasmind.errors import ModelLoadFailed

CANARY = np.array([7.0, 8.0, 9.0, 10.0], np.float32)


def naming(location: str) -> bytes:
    """A model whose output is its input plus four floats from the file it names."""
    outside = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        outside.external_data.add(key=key, value=value)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], [outside])
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()


def arranged(root: Path, kind: str) -> Path:
    """A model's directory, beside it a canary that the model tries to reach; returns the model's path."""
    canary = root / "secret/canary"
    canary.parent.mkdir()
    canary.write_bytes(CANARY.tobytes())
    directory = root / "models/net"
    (directory / "a").mkdir(parents=True)
    location = {
        "parent": "../../secret/canary",
        "detour": "a/../../../secret/canary",
        "absolute": str(canary),
        "symbolic link": "model.onnx.data",
        "hard link": "model.onnx.data",
        "link to its directory": "b/canary",
    }[kind]
    match kind:
        case "symbolic link":
            (directory / location).symlink_to(canary)
        case "hard link":
            (directory / location).hardlink_to(canary)
        case "link to its directory":
            (directory / "b").symlink_to(canary.parent)
    (directory / "model.onnx").write_bytes(naming(location))
    return directory / "model.onnx"


@contextmanager
def watching(path: Path) -> Iterator[list[int]]:
    """Collects inotify's events of opening or reading `path`, by whatever name."""
    opened, access = 0x20, 0x1
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert libc.inotify_add_watch(descriptor, os.fsencode(path), opened | access) >= 0
    events: list[int] = []
    try:
        yield events
        while select.select([descriptor], [], [], 0)[0]:
            events += [mask for _, mask, _, _ in struct.iter_unpack("iIII", os.read(descriptor, 4096))]
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("whole", [False, True], ids=["a file", "a directory"])
@pytest.mark.parametrize(
    "kind", ["parent", "detour", "absolute", "symbolic link", "hard link", "link to its directory"]
)
async def test_data_elsewhere_stays_closed(kind: str, whole: bool, tmp_path: Path) -> None:
    model = arranged(tmp_path, kind)
    files = files_of(model.parent if whole else model)
    with watching(tmp_path / "secret/canary") as events, pytest.raises(ModelLoadFailed):
        async with served(model, tmp_path, files=files):
            pass
    assert events == []


def test_the_watch_sees_an_opening(tmp_path: Path) -> None:
    (tmp_path / "canary").write_bytes(b"x")
    (tmp_path / "link").hardlink_to(tmp_path / "canary")
    with watching(tmp_path / "canary") as events:
        (tmp_path / "link").read_bytes()
    assert events


@pytest.mark.parametrize("name", ["model.onnx.data", "model.onnx_data", "model.weights"])
async def test_data_of_its_own_is_read(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(CANARY.tobytes())
    (tmp_path / "model.onnx").write_bytes(naming(name))
    async with served(tmp_path / "model.onnx", tmp_path) as model:
        (found,) = await model.infer(np.ones(4, np.float32))
    assert found.tolist() == (CANARY + 1).tolist()


async def test_data_of_any_name_is_read_in_a_directory_of_its_own(tmp_path: Path) -> None:
    net = tmp_path / "net"
    (net / "parts").mkdir(parents=True)
    (net / "parts/0").write_bytes(CANARY.tobytes())
    (net / "model.onnx").write_bytes(naming("parts/0"))
    async with served(net / "model.onnx", tmp_path, files=files_of(net)) as model:
        (found,) = await model.infer(np.ones(4, np.float32))
    assert found.tolist() == (CANARY + 1).tolist()
    with pytest.raises(ModelLoadFailed):
        async with served(net / "model.onnx", tmp_path, files=files_of(net / "model.onnx")):
            pass


def test_the_models_are_what_they_seem(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(CANARY.tobytes())
    (tmp_path / "model.onnx").write_bytes(naming("data"))
    found = onnx.load(tmp_path / "model.onnx").graph.initializer[0]
    assert onnx.numpy_helper.to_array(found).tolist() == CANARY.tolist()
