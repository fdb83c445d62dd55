from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from wasmind.catalog import formats
from wasmind.config import Encoding
from wasmind.errors import InvalidEncoding

if TYPE_CHECKING:
    from collections.abc import Iterable


def onnx_bytes() -> bytes:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", value[:1], value[1:])
    return onnx.ModelProto(ir_version=8, graph=graph).SerializeToString()


def archive(path: Path, names: Iterable[str]) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        for name in names:
            made.writestr(name, b"\x80\x02.")
    return path


TORCHSCRIPT = [
    "net/data/0",
    "net/data.pkl",
    "net/code/__torch__/linear.py",
    "net/constants.pkl",
    "net/version",
]
STATE_DICT = ["net/data.pkl", "net/.format_version", "net/byteorder", "net/data/0", "net/version"]

KNOWN = {
    "onnx": onnx_bytes(),
    "openvino": b'<?xml version="1.0"?>\n<net name="net" version="11">\n</net>',
    "tensorflowlite": b"\x1c\0\0\0TFL3" + bytes(24),
    "ggml": b"GGUF\x03\0\0\0" + bytes(16),
    "tensorflow": b"\x08\x01\x12\x08\x0a\x06\x0a\x00\x22\x02v1",
}


@pytest.mark.parametrize("encoding", KNOWN)
def test_encodings_are_seen(encoding: Encoding, tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(KNOWN[encoding])
    assert formats.encoding_of(path) == encoding
    assert formats.encoding_of(path, encoding) == encoding


def test_torchscript_is_seen(tmp_path: Path) -> None:
    assert formats.encoding_of(archive(tmp_path / "net.pt", TORCHSCRIPT)) == "pytorch"


@pytest.mark.parametrize("said", sorted(set(KNOWN) - {"onnx"}))
def test_a_wrong_word_is_contradicted(said: Encoding, tmp_path: Path) -> None:
    path = tmp_path / "net"
    path.write_bytes(KNOWN["onnx"])
    with pytest.raises(InvalidEncoding, match=f"is not {said}") as caught:
        formats.encoding_of(path, said)
    assert "its bytes are onnx" in caught.value.explain()


def test_bytes_that_show_nothing_are_taken_at_the_operators_word(tmp_path: Path) -> None:
    path = tmp_path / "net"
    path.write_bytes(b"\xfe\xfd\xfc\xfb\xfa")
    assert formats.encoding_of(path, "ggml") == "ggml"
    with pytest.raises(InvalidEncoding) as caught:
        formats.encoding_of(path)
    assert "it begins with fe fd fc fb fa" in caught.value.explain()


@pytest.mark.parametrize("said", ["autodetect", "onnx"])
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (pickle.dumps({"a": 1}), "a Python pickle, and loading one runs code"),
        (b"\x89HDF\r\n\x1a\n", "Keras"),
        (b"\x1f\x8b\x08rest", "gzip"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html><title>404", "a web page"),
        ((64).to_bytes(8, "little") + b'{"weight":{}}', "safetensors"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"\0asm\x01\0\0\0", "a WebAssembly program"),
        (b"hello world\n", "plain text"),
    ],
)
def test_what_is_no_model_is_named(data: bytes, words: str, said: Encoding, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    with pytest.raises(InvalidEncoding, match="is no model") as caught:
        formats.encoding_of(path, said)
    assert words in (caught.value.cause or "")
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (STATE_DICT, "a pickle written by torch.save"),
        (["config.json", "metadata.json", "model.weights.h5"], "a Keras archive"),
        (["photo.jpg"], "without a program"),
    ],
)
def test_other_archives_are_named(names: list[str], words: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "net.pt", names)
    with pytest.raises(InvalidEncoding) as caught:
        formats.encoding_of(path)
    assert words in caught.value.explain()


def test_a_damaged_archive(tmp_path: Path) -> None:
    path = archive(tmp_path / "net.pt", TORCHSCRIPT)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InvalidEncoding, match="damaged zip archive"):
        formats.encoding_of(path)


def test_no_array_is_mistaken_for_a_model(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros(4))
    with pytest.raises(InvalidEncoding):
        formats.encoding_of(path)
