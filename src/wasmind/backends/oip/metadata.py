"""A model's metadata, in either form of the protocol, as a signature."""

from __future__ import annotations

import msgspec

from wasmind.backends.oip.datatypes import type_of
from wasmind.errors import RuntimeFailed
from wasmind.nn.signature import Dim, Signature, TensorSpec
from wasmind.nn.tensor import MAX_RANK

MAX_TENSORS = 1024
MAX_NAME = 1024


class TensorMetadata(msgspec.Struct):
    """One input or output; -1 in the shape is a dimension that varies."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class ModelMetadata(msgspec.Struct):
    """What `GET /v2/models/NAME` answers."""

    name: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


def signature_of(metadata: ModelMetadata) -> Signature:
    """The signature that metadata describe. Raises RuntimeFailed for what wasi-nn has no form for."""
    return Signature(_specs(metadata.inputs), _specs(metadata.outputs))


def parse(body: bytes | bytearray) -> Signature:
    """Read the JSON form. Raises RuntimeFailed."""
    try:
        return signature_of(msgspec.json.decode(body, type=ModelMetadata))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RuntimeFailed("the server's metadata make no sense", cause=str(error)) from error


def _specs(side: list[TensorMetadata]) -> tuple[TensorSpec, ...]:
    names = {one.name for one in side}
    if not 0 < len(side) <= MAX_TENSORS or len(names) < len(side):
        raise RuntimeFailed(f"the server tells of {len(side)} inputs or outputs with {len(names)} names")
    return tuple(map(_spec, side))


def _spec(one: TensorMetadata) -> TensorSpec:
    if len(one.shape) > MAX_RANK or len(one.name) > MAX_NAME:
        raise RuntimeFailed(f"the server tells of a tensor {one.name[:40]!r} of rank {len(one.shape)}")
    dims: tuple[Dim, ...] = tuple(None if dim < 0 else dim for dim in one.shape)
    return TensorSpec(one.name, type_of(one.datatype), dims)
