"""Tensors: numbers of one type in a shape, as bytes in row-major order, little-endian, without gaps."""

from __future__ import annotations

import struct
from array import array
from math import prod
from typing import Any

FORMATS = {"f16": "e", "f32": "f", "f64": "d", "u8": "B", "i32": "i", "i64": "q"}
"""The types that Python has numbers for, by their codes in `struct`; `bf16` is converted here."""
SIZES = {"f16": 2, "bf16": 2, "f32": 4, "f64": 8, "u8": 1, "i32": 4, "i64": 8}


class Tensor:
    """A tensor's value: `type` is one of `SIZES`, `shape` its dimensions, `data` its bytes."""

    __slots__ = ("data", "shape", "type")

    def __init__(self, type: str, shape: tuple[int, ...], data: bytes) -> None:  # noqa: A002 - the field's name
        """Raises ValueError when the bytes are not as many as the shape takes."""
        if type not in SIZES:
            raise ValueError(f"there is no tensor type {type!r}; known are {', '.join(SIZES)}")
        if prod(shape) * SIZES[type] != len(data):
            raise ValueError(
                f"{type} {list(shape)} takes {prod(shape) * SIZES[type]} bytes, but there are {len(data)}"
            )
        self.type, self.shape, self.data = type, tuple(shape), data

    def __len__(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    def __bytes__(self) -> bytes:
        return self.data

    def __repr__(self) -> str:
        return f"Tensor({self.type} {list(self.shape)})"

    def flat(self) -> list[Any]:
        """The elements as Python's numbers, in one row."""
        if self.type == "bf16":
            halves = struct.unpack(f"<{len(self)}H", self.data)
            return [struct.unpack("<f", struct.pack("<I", half << 16))[0] for half in halves]
        return list(struct.unpack(f"<{len(self)}{FORMATS[self.type]}", self.data))

    def tolist(self) -> Any:
        """The elements as lists within lists, or one number if there are no dimensions."""
        found = self.flat()
        for size in reversed(self.shape[1:]):
            rows = len(found) // size if size else 0
            found = [found[row * size : (row + 1) * size] for row in range(rows)]
        return found if self.shape else found[0]

    def array(self) -> array[Any]:
        """The elements as a flat `array.array`. Raises ValueError for f16 and bf16."""
        code = FORMATS.get(self.type, "e")
        if code == "e":
            raise ValueError(f"array.array has no {self.type}: use flat() or numpy()")
        made = array(code)
        made.frombytes(self.data)
        return made

    def numpy(self) -> Any:
        """The same as a numpy array, where numpy is part of the component. Raises ImportError."""
        import numpy

        if self.type == "bf16":
            wide = numpy.frombuffer(self.data, "<u2").astype("<u4") << 16
            return wide.view("<f4").reshape(self.shape)
        return numpy.frombuffer(self.data, f"<{FORMATS[self.type]}").reshape(self.shape)

    def reshape(self, *shape: int) -> Tensor:
        """The same elements in another shape; one dimension may be -1. Raises ValueError."""
        return Tensor(self.type, _shaped(shape, len(self)), self.data)


def tensor(value: Any, type: str | None = None, shape: tuple[int, ...] | list[int] | None = None) -> Tensor:  # noqa: A002
    """A tensor of a buffer (`bytes`, `array`, `memoryview`, numpy), of numbers in lists, or of a number.

    Buffers keep their type, and `bytes` are u8; a `type` given beside a buffer says how to read its bytes.
    Numbers become f32 unless `type` says otherwise. `shape` may have one -1. Raises ValueError, TypeError.
    """
    if isinstance(value, Tensor):
        found = value
    elif isinstance(value, (int, float, list, tuple)):
        found = _of_numbers(value, type or "f32")
    else:
        found = _of_buffer(memoryview(value), type)
    if type and found.type != type:
        raise ValueError(f"the tensor is {found.type}, not {type}")
    return found if shape is None else found.reshape(*shape)


def _of_buffer(view: memoryview, type: str | None) -> Tensor:  # noqa: A002
    data = view.tobytes()
    kind = _type_of(view.format, view.itemsize)
    if type in (None, kind):
        return Tensor(kind, view.shape or (), data)
    if type not in SIZES or len(data) % SIZES[type]:
        raise ValueError(f"{len(data)} bytes are no whole number of {type}")
    return Tensor(type, (len(data) // SIZES[type],), data)


def _type_of(code: str, size: int) -> str:
    letter = code.lstrip("@=<")
    if letter in ("B", "?", "c") and size == 1:
        return "u8"
    if letter in ("i", "l", "q") and size in (4, 8):
        return "i32" if size == 4 else "i64"
    for kind, known in FORMATS.items():
        if letter == known:
            return kind
    raise ValueError(f"a buffer of format {code!r} is no tensor: convert it to one of {', '.join(FORMATS)}")


def _of_numbers(value: Any, type: str) -> Tensor:  # noqa: A002
    shape, flat = [], [value]
    while flat and isinstance(flat[0], (list, tuple)):
        size = len(flat[0])
        if any(not isinstance(row, (list, tuple)) or len(row) != size for row in flat):
            raise ValueError("rows of a tensor have the same length")
        shape.append(size)
        flat = [item for row in flat for item in row]
    try:
        if type == "bf16":
            data = b"".join(struct.pack("<f", number)[2:] for number in flat)
        else:
            data = struct.pack(f"<{len(flat)}{FORMATS[type]}", *flat)
    except KeyError:
        raise ValueError(f"there is no tensor type {type!r}; known are {', '.join(SIZES)}") from None
    except struct.error as error:
        raise ValueError(f"not all of it are numbers that fit {type}: {error}") from None
    return Tensor(type, tuple(shape), data)


def _shaped(shape: tuple[int, ...], count: int) -> tuple[int, ...]:
    """The shape with its -1 told by the number of elements."""
    if shape.count(-1) > 1:
        raise ValueError("only one dimension can be told by the others")
    known = -prod(shape) if -1 in shape else prod(shape)
    if -1 in shape and known > 0 and count % known == 0:
        return tuple(count // known if size == -1 else size for size in shape)
    if -1 in shape or known != count:
        raise ValueError(f"{count} elements do not fit the shape {list(shape)}")
    return shape
