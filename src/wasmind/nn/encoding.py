"""Graph encodings: the formats a model's bytes may have, and how to tell them apart by looking."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from wasmind.errors import InvalidEncoding
from wasmind.nn.tensor import Buffer

HEAD = 4096
"""As many bytes as `sniff` ever looks at."""


class Encoding(Enum):
    """A graph's encoding, by the name it has in wasi-nn and in `wasmind.toml`."""

    OPENVINO = "openvino"
    ONNX = "onnx"
    TENSORFLOW = "tensorflow"
    PYTORCH = "pytorch"
    TENSORFLOWLITE = "tensorflowlite"
    GGML = "ggml"
    AUTODETECT = "autodetect"

    def __str__(self) -> str:
        return str(self.value)


class Target(Enum):
    """The kind of device a guest asks to run on."""

    CPU = "cpu"
    GPU = "gpu"
    TPU = "tpu"

    def __str__(self) -> str:
        return str(self.value)


def sniff(data: Buffer) -> Encoding | None:
    """The encoding that the first bytes of a file show (up to `HEAD` of them are looked at), or None.

    No parser of a framework runs: these are magic numbers, and for ONNX and TensorFlow the tags of the
    outermost protobuf message.
    """
    head = bytes(data[:HEAD])
    if head.startswith(b"GGUF"):
        return Encoding.GGML
    if head[4:8] == b"TFL3":
        return Encoding.TENSORFLOWLITE
    if head.startswith(b"PK\x03\x04"):
        return Encoding.PYTORCH  # TorchScript is a zip archive
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith((b"<?xml", b"<net ", b"<net>")):
        return Encoding.OPENVINO
    return _protobuf(head)


def detected(data: Buffer) -> Encoding:
    """As `sniff`. Raises InvalidEncoding with what the bytes look like."""
    found = sniff(data)
    if found is None:
        raise InvalidEncoding(
            "the graph's encoding cannot be told from its bytes",
            cause=f"it begins with {bytes(data[:16]).hex(' ') or 'nothing'}",
            remedy="name the encoding, or bring ONNX, OpenVINO IR, TFLite, TorchScript or GGUF",
        )
    return found


_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_ONNX = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
"""The fields of onnx.ModelProto by number, with their wire types (onnx.proto)."""
_SAVED_MODEL = {1: 0, 2: 2}
"""tensorflow.SavedModel: a schema version and meta graphs."""
_GRAPH, _OPSETS = 7, 8


def _protobuf(head: bytes) -> Encoding | None:
    fields = []
    for number, wire, content in _fields(head):
        if number == 0 or wire not in (_VARINT, _FIXED64, _LENGTH, _FIXED32):
            return None
        fields.append((number, wire, content))
    if not fields or any(_ONNX.get(number) != wire for number, wire, _ in fields):
        return None
    numbers = {number for number, _, _ in fields}
    if numbers & {_GRAPH, _OPSETS}:
        return Encoding.ONNX
    if all(_SAVED_MODEL.get(number) == wire for number, wire, _ in fields):
        # Field 2 is a producer's printable name in ONNX, and a message in a SavedModel.
        message = next((content for number, _, content in fields if number == 2), b"")
        return Encoding.TENSORFLOW if message[:1] == b"\x0a" else Encoding.ONNX
    return Encoding.ONNX


def _fields(head: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The outermost fields that begin within `head`: number, wire type, the content there is of it."""
    position = 0
    while position < len(head):
        tag, position = _varint(head, position)
        number, wire = tag >> 3, tag & 7
        start = position
        if wire == _VARINT:
            _, position = _varint(head, position)
        elif wire == _LENGTH:
            length, start = _varint(head, position)
            position = start + length
        else:
            position += 8 if wire == _FIXED64 else 4
        yield number, wire, head[start:position]


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A protobuf integer and where it ends; what is cut off counts as zero bits."""
    value = 0
    for shift in range(0, 64, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    return value, position
