"""Row 15, for the other frameworks: weights that lead out of the model's own files. A canary stays unread."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest

from security.test_15_external_data import ATTACKS, model_with
from support import openvino_models, torchscript_models
from support.frameworks import needs
from support.workers import spec_of
from wasmind.catalog.files import files_of
from wasmind.errors import InvalidEncoding, ModelLoadFailed
from wasmind.worker.spawn import listen, spawn

if TYPE_CHECKING:
    from pathlib import Path

    from wasmind.worker.spec import WorkerSpec

CANARY = struct.pack("<2f", 7.25, 7.5)


async def refusal(spec: WorkerSpec, directory: Path) -> str:
    with listen(directory / "s.sock") as listener:
        process = await spawn(spec, listener)
        with pytest.raises((ModelLoadFailed, InvalidEncoding)) as caught:
            await process.ready()
        await process.wait()
    return caught.value.explain()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "canary.bin").write_bytes(CANARY)
    directory = tmp_path / "models"
    (directory / "sub").mkdir(parents=True)
    (directory / "other.onnx.data").write_bytes(CANARY)
    return directory


@pytest.mark.parametrize(
    "attack", ["dots", "absolute", "symbolic link", "hard link", "another model's weights"]
)
async def test_onnx_through_openvino(home: Path, attack: str) -> None:
    path = home / "model.onnx"
    path.write_bytes(model_with(ATTACKS[attack](home)))
    words = await refusal(spec_of(path, runtime="openvino"), home.parent)
    assert "7.25" not in words


@pytest.mark.parametrize("link", [os.symlink, os.link])
async def test_an_openvino_models_weights_are_no_link(home: Path, link: object) -> None:
    path = home / "net.xml"
    path.write_text(openvino_models.linear())
    link(home.parent / "canary.bin", home / "net.bin")  # type: ignore[operator]
    assert [file.path for file in files_of(path)] == [str(path)]
    words = await refusal(spec_of(path, runtime="openvino", encoding="openvino"), home.parent)
    assert "weights are in a second file" in words or "7.25" not in words


@pytest.mark.slow
@needs("pytorch")
@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02cos\nmkdir\nX\x06\x00\x00\x00canary\x85R.",
        b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.",
    ],
)
async def test_a_pickle_in_torchscript_names_nothing_of_python(home: Path, data: bytes) -> None:
    path = home / "model.pt"
    path.write_bytes(torchscript_models.archive(torchscript_models.program("return x"), data=data))
    words = await refusal(spec_of(path, runtime="pytorch", encoding="pytorch"), home.parent)
    assert words
    assert not (home / "canary").exists()
    assert not os.path.exists("canary")


def test_the_canary_is_what_it_should_be() -> None:
    assert np.frombuffer(CANARY, np.float32).tolist() == [7.25, 7.5]
