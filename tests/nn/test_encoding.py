from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import onnx_models
from wasmind.config import Encoding as Name
from wasmind.errors import InvalidEncoding, NnCode
from wasmind.nn.encoding import HEAD, Encoding, Target, detected, sniff


def zipped() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("model/constants.pkl", b"")
    return made.getvalue()


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


IR = b"\x08\x08"  # ir_version = 8
GRAPH = field(7, b"\x0a\x00" * 40)

SAMPLES = {
    "onnx": (onnx_models.linear(), Encoding.ONNX),
    "onnx, graph only": (GRAPH, Encoding.ONNX),
    "onnx, graph beyond the head": (IR + field(2, b"pytorch") + field(7, bytes(3 * HEAD)), Encoding.ONNX),
    "onnx, producer only within the head": (IR + field(2, b"pytorch" * HEAD), Encoding.ONNX),
    "onnx, opsets first": (field(8, b"\x10\x11") + IR + GRAPH, Encoding.ONNX),
    "saved model": (b"\x08\x01" + field(2, field(1, b"\x2a\x05serve")), Encoding.TENSORFLOW),
    "gguf": (b"GGUF\x03\x00\x00\x00" + bytes(16), Encoding.GGML),
    "tflite": (b"\x1c\x00\x00\x00TFL3" + bytes(16), Encoding.TENSORFLOWLITE),
    "torchscript": (zipped(), Encoding.PYTORCH),
    "openvino": (b'<?xml version="1.0"?>\n<net name="x" version="11">', Encoding.OPENVINO),
    "openvino with a byte order mark": (b"\xef\xbb\xbf<?xml version='1.0'?><net/>", Encoding.OPENVINO),
    "openvino without a declaration": (b'  <net name="x" version="11">', Encoding.OPENVINO),
}


@pytest.mark.parametrize(("data", "encoding"), SAMPLES.values(), ids=SAMPLES)
def test_the_bytes_tell(data: bytes, encoding: Encoding) -> None:
    assert sniff(data) is encoding
    assert sniff(memoryview(data)) is encoding
    assert sniff(bytearray(data[:HEAD])) is encoding
    assert detected(data) is encoding


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello world, no model",
        b"\x7fELF",
        b"\x80\x04\x95",  # a pickle
        b"\x89HDF\r\n\x1a\n",
        b"<html><body>",
        bytes(64),
        b"\xff" * 64,
        b"version https://git-lfs.github.com/spec/v1",
        b"\x08\x08\x4a\x02ab",  # field 9 is none of ModelProto's
        b"\x0a\x02ab",  # field 1 with the wrong wire type
    ],
)
def test_other_bytes_tell_nothing(data: bytes) -> None:
    assert sniff(data) is None
    with pytest.raises(InvalidEncoding) as caught:
        detected(data)
    assert caught.value.nn_code is NnCode.INVALID_ENCODING
    assert "GGUF" in str(caught.value.remedy)


@given(st.binary(max_size=256))
def test_any_bytes_are_harmless(data: bytes) -> None:
    assert sniff(data) is None or isinstance(sniff(data), Encoding)
    assert sniff(b"\x08\x08" + data) in (None, Encoding.ONNX, Encoding.TENSORFLOW)


@given(st.integers(0, 400))
def test_a_model_cut_anywhere_is_still_onnx_or_unknown(length: int) -> None:
    assert sniff(onnx_models.linear()[:length]) in (None, Encoding.ONNX)


def test_the_names_are_those_of_the_settings() -> None:
    assert {str(encoding) for encoding in Encoding} == set(Name.__args__)
    assert [str(target) for target in Target] == ["cpu", "gpu", "tpu"]
