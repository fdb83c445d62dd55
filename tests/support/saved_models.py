"""A small SavedModel, written out field by field, as tensorflow/core/protobuf has them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FLOAT = 1


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, value: int | str | bytes) -> bytes:
    """One field: a number, or what has a length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def entry(number: int, key: str, value: bytes) -> bytes:
    """One entry of a map."""
    return field(number, field(1, key) + field(2, value))


def shape(*dims: int) -> bytes:
    """TensorShapeProto; -1 is open."""
    return b"".join(field(2, field(1, dim % (1 << 64))) for dim in dims)


def node(name: str, kind: str, inputs: tuple[str, ...] = (), **attributes: bytes) -> bytes:
    """NodeDef."""
    made = field(1, name) + field(2, kind) + b"".join(field(3, one) for one in inputs)
    return made + b"".join(entry(5, key, value) for key, value in attributes.items())


def constant(name: str, value: float) -> bytes:
    tensor = field(1, FLOAT) + field(2, shape()) + field(4, struct.pack("<f", value))
    return node(name, "Const", dtype=field(6, FLOAT), value=field(8, tensor))


def info(name: str, *dims: int) -> bytes:
    """TensorInfo."""
    return field(1, name) + field(2, FLOAT) + field(3, shape(*dims))


def linear(*extra: bytes, after: tuple[str, ...] = ()) -> bytes:
    """y = 2x + 1 for f32 [1,4]; `extra` nodes run first where they are named in `after`."""
    kind = field(6, FLOAT)
    nodes = [
        node("in", "Placeholder", dtype=kind, shape=field(7, shape(1, 4))),
        constant("two", 2.0),
        node("twice", "Mul", ("in", "two"), T=kind),
        constant("one", 1.0),
        node("out", "AddV2", ("twice", "one", *(f"^{name}" for name in after)), T=kind),
        *extra,
    ]
    graph = b"".join(field(1, one) for one in nodes) + field(4, field(1, 1395))
    signature = (
        entry(1, "x", info("in:0", 1, 4))
        + entry(2, "y", info("out:0", 1, 4))
        + field(3, "tensorflow/serving/predict")
    )
    meta = field(1, field(4, "serve")) + field(2, graph) + entry(5, "serving_default", signature)
    return field(1, 1) + field(2, meta)


def write(directory: Path) -> Path:
    """The directory of `linear`."""
    made = directory / "saved"
    made.mkdir()
    (made / "saved_model.pb").write_bytes(linear())
    return made
