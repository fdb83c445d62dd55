"""Row 19: a pickle that calls itself a model is refused, and nothing in it runs."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path

import pytest

from wasmind import config
from wasmind.catalog.catalog import read_catalog
from wasmind.demo.torch_file import read_weights
from wasmind.errors import InvalidEncoding, ModelLoadFailed


class Attack:
    """Creates a file when it is loaded."""

    def __init__(self, canary: Path) -> None:
        self.canary = str(canary)

    def __reduce__(self) -> object:
        return os.mkdir, (self.canary,)


def archive(entries: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as made:
        for name, content in entries.items():
            made.writestr(name, content)
    return data.getvalue()


def disguises(canary: Path) -> dict[str, bytes]:
    attack = pickle.dumps(Attack(canary), 2)
    return {
        "bare": attack,
        "newest protocol": pickle.dumps(Attack(canary), 5),
        "torch.save": archive({"net/data.pkl": attack, "net/version": b"3", "net/data/0": bytes(16)}),
        "before torch 1.6": pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + attack,
        "keras": archive({"config.json": b"{}", "metadata.json": b"{}", "model.weights.h5": attack}),
        "hdf5": b"\x89HDF\r\n\x1a\n" + attack,
    }


DISGUISES = list(disguises(Path("/")))


@pytest.mark.parametrize("said", ["autodetect", "pytorch", "onnx", "tensorflow"])
@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_node_refuses_it(disguise: str, said: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (tmp_path / "model.pt").write_bytes(disguises(canary)[disguise])
    settings = config.parse({"models": {"net": {"path": "model.pt", "encoding": said}}}, tmp_path)
    with pytest.raises(InvalidEncoding) as caught:
        read_catalog(settings)
    assert not canary.exists()
    assert "models.net" in caught.value.message


@pytest.mark.parametrize("disguise", DISGUISES)
def test_the_demos_reader_of_weights_refuses_it(disguise: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (tmp_path / "weights.pth").write_bytes(disguises(canary)[disguise])
    with pytest.raises(ModelLoadFailed):
        read_weights(tmp_path / "weights.pth")
    assert not canary.exists()


def test_the_attack_works_where_pickles_are_loaded(tmp_path: Path) -> None:
    pickle.loads(disguises(tmp_path / "canary")["bare"])
    assert (tmp_path / "canary").exists()
