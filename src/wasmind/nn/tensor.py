"""Tensors: a type, dimensions, and row-major little-endian bytes."""

from __future__ import annotations

from enum import Enum
from math import prod
from typing import TypeAlias

import msgspec

Buffer: TypeAlias = bytes | bytearray | memoryview

MAX_RANK = 32
"""No framework here has tensors of a higher rank; refusing more bounds every loop over dimensions."""


class TensorType(Enum):
    """An element type, by its wasi-nn name, with the size of one element in bytes.

    The last rows have no wasi-nn number: models may have them, and the Open Inference Protocol names them.
    """

    F16 = "f16", 2
    F32 = "f32", 4
    F64 = "f64", 8
    BF16 = "bf16", 2
    U8 = "u8", 1
    I32 = "i32", 4
    I64 = "i64", 8
    BOOL = "bool", 1
    I8 = "i8", 1
    I16 = "i16", 2
    U16 = "u16", 2
    U32 = "u32", 4
    U64 = "u64", 8

    def __new__(cls, label: str, size: int) -> TensorType:
        """Make the name the value, so that `TensorType("f32")` finds it, and keep the size beside it."""
        member = object.__new__(cls)
        member._value_ = label
        member.size = size
        return member

    size: int
    __hash__ = object.__hash__  # each is one object, and an inference looks some of them up

    def __str__(self) -> str:
        return str(self.value)


class Tensor(msgspec.Struct, frozen=True, gc=False):
    """A tensor's value. `data` holds exactly `prod(dims) * type.size` bytes, row-major, little-endian."""

    type: TensorType
    dims: tuple[int, ...]
    data: Buffer

    def __str__(self) -> str:
        return describe(self.type, self.dims)


def describe(type_: TensorType | str, dims: tuple[int | str | None, ...]) -> str:
    """A type and shape in the words of our messages: `f32 [N,3,224,224]`; an unknown dimension is `?`."""
    return f"{type_} [{','.join('?' if dim is None else str(dim) for dim in dims)}]"


def byte_length(type_: TensorType, dims: tuple[int, ...]) -> int:
    """The bytes a dense tensor takes; Python integers cannot wrap."""
    return prod(dims) * type_.size
