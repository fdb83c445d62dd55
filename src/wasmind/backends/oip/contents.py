"""Tensors in the gRPC form of the protocol: raw contents beside them, or typed contents within."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wasmind.backends.oip.datatypes import DATATYPES, RAW_ONLY, type_of
from wasmind.backends.oip.rest import MAX_TENSORS, Named
from wasmind.errors import InvalidArgument
from wasmind.nn.tensor import MAX_RANK, Buffer, Tensor, byte_length
from wasmind.worker.runtimes.base import DTYPES

TYPED = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}
"""The field of `InferTensorContents` for each datatype that has one."""


def tensors(parts: Sequence[Any], raw: Sequence[Buffer]) -> list[Named]:
    """The tensors of a message. Raises InvalidArgument, and RuntimeFailed for an unknown datatype."""
    if len(parts) > MAX_TENSORS or (raw and len(raw) != len(parts)):
        raise InvalidArgument(f"{len(parts)} tensors and {len(raw)} raw contents")
    return [(one.name, _tensor(one, raw[at] if raw else None)) for at, one in enumerate(parts)]


def put_typed(part: Any, tensor: Tensor) -> None:
    """Write a tensor's values into its message; its datatype is one of `TYPED`."""
    values = np.frombuffer(tensor.data, DTYPES[tensor.type]).tolist()
    getattr(part.contents, TYPED[DATATYPES[tensor.type]]).extend(values)


def _tensor(one: Any, raw: Buffer | None) -> Tensor:
    type_, dims = type_of(one.datatype), tuple(one.shape)
    if len(dims) > MAX_RANK or any(dim < 0 for dim in dims):
        raise InvalidArgument(f"tensor {one.name!r} has an impossible shape")
    data: Buffer
    if raw is not None:
        data = memoryview(raw)
    elif type_ in RAW_ONLY:
        raise InvalidArgument(f"tensor {one.name!r} is {one.datatype} without raw contents")
    else:
        try:
            data = np.array(list(getattr(one.contents, TYPED[one.datatype])), DTYPES[type_]).tobytes()
        except OverflowError as error:
            raise InvalidArgument(f"tensor {one.name!r} is not {one.datatype}", cause=str(error)) from error
    if len(data) != byte_length(type_, dims):
        raise InvalidArgument(
            f"tensor {one.name!r} has {len(data)} bytes, and {one.datatype} {list(dims)} takes "
            f"{byte_length(type_, dims)}"
        )
    return Tensor(type_, dims, data)
