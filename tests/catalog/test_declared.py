"""Signatures that an operator declares."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import torchscript_models
from support.onnx_models import linear
from wasmind import config
from wasmind.catalog.declared import declared_signature
from wasmind.catalog.digests import Digests
from wasmind.catalog.model import read_model
from wasmind.errors import ConfigError
from wasmind.nn.signature import TensorSpec
from wasmind.nn.tensor import TensorType

INPUTS = {"inputs": [{"name": "x", "dims": ["N", 4]}, {"name": "rate", "type": "i64", "dims": []}]}


def model(directory: Path, signature: object, file: str = "m.pt") -> config.Model:
    (directory / "m.pt").write_bytes(torchscript_models.model("linear"))
    (directory / "m.onnx").write_bytes(linear())
    settings = {"models": {"m": {"path": file} | ({"signature": signature} if signature else {})}}
    return config.parse(settings, directory).models["m"]


def test_names_types_and_open_dimensions(tmp_path: Path) -> None:
    found = model(tmp_path, INPUTS).signature
    assert found is not None
    signature = declared_signature(found)
    assert signature.inputs == (
        TensorSpec("x", TensorType.F32, ("N", 4)),
        TensorSpec("rate", TensorType.I64, ()),
    )
    assert signature.outputs == ()


@pytest.mark.parametrize(
    ("signature", "words"),
    [
        ({"inputs": []}, "no inputs"),
        ({"inputs": [{"name": "x"}, {"name": "x"}]}, "same name"),
        ({"inputs": [{"name": "x", "dims": [-1]}]}, "none is negative"),
        ({"inputs": [{"name": "x", "dims": [1] * 33}]}, "at most 32"),
        ({"inputs": [{"name": "x", "type": "string"}]}, "Invalid enum value 'string'"),
        ({"inputs": [{"nme": "x"}]}, "nme"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, signature: dict, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_model("m", model(tmp_path, signature), Digests())
    assert words in caught.value.explain()


def test_it_is_for_torchscript_only(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is for TorchScript") as caught:
        read_model("m", model(tmp_path, INPUTS, "m.onnx"), Digests())
    assert "a model in onnx says itself" in caught.value.explain()


def test_another_signature_is_another_version(tmp_path: Path) -> None:
    plain = read_model("m", model(tmp_path, None), Digests()).digest
    one = read_model("m", model(tmp_path, INPUTS), Digests()).digest
    other = read_model("m", model(tmp_path, {"inputs": [{"name": "y"}]}), Digests()).digest
    assert len({plain, one, other}) == 3
    assert read_model("m", model(tmp_path, INPUTS), Digests()).digest == one
