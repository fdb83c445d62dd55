"""Reads the weights in a file that `torch.save` wrote, without torch and without running what a pickle names.

A pickle is a program: it may import anything and call it. The reader here knows four names (an ordered
dictionary, float and integer storages, and the function that makes a tensor of a storage) and refuses a file
that has any other. It reads the format of torch before 1.6: three small pickles (a magic number, a version,
the machine), the pickled object, a list of the storages' keys, then each storage's length and bytes.
"""

from __future__ import annotations

import os
import pickle
import struct
from collections import OrderedDict
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.lib.stride_tricks import as_strided

from wasmind.errors import ModelLoadFailed

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a storage class of torch stands for."""

    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class _Stored:
    """A tensor that is not read yet: where in which storage it lies. Offset and strides count elements."""

    key: str
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild(storage: Any, offset: int, shape: Any, strides: Any, *_: object) -> _Stored:
    key, dtype = storage
    if not all(type(number) is int for number in (offset, *shape, *strides)):
        raise pickle.UnpicklingError("a tensor's place is not given in whole numbers")
    return _Stored(key, dtype, offset, tuple(shape), tuple(strides))


_ADMITTED: dict[tuple[str, str], object] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "FloatStorage"): _Kind(np.dtype("<f4")),
    ("torch", "LongStorage"): _Kind(np.dtype("<i8")),
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
}


class _Unpickler(pickle._Unpickler):  # the one in C makes room for any number of values that a pickle names
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is not admitted") from None

    def persistent_load(self, pid: Any) -> tuple[str, np.dtype[Any]]:
        _, kind, key, *_ = pid
        if not isinstance(kind, _Kind) or not isinstance(key, str):
            raise pickle.UnpicklingError("it refers to something that is no storage")
        return key, kind.dtype


_BROKEN = (
    *(pickle.UnpicklingError, struct.error, EOFError, ValueError, TypeError, LookupError),
    *(ArithmeticError, AttributeError, MemoryError, RecursionError),
)
"""What a pickle that is cut off or tampered with may raise."""


def read_weights(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a state dictionary by their names. Raises ModelLoadFailed, OSError."""
    with path.open("rb") as file:
        try:
            return _read(file)
        except _BROKEN as error:
            raise ModelLoadFailed(
                f"{path} holds no weights that can be read here",
                cause=str(error),
                remedy="install the package again",
            ) from error


def _read(file: BinaryIO) -> dict[str, NDArray[Any]]:
    if _Unpickler(file).load() != MAGIC or _Unpickler(file).load() != VERSION:
        raise pickle.UnpicklingError("it is not in the format of torch.save before torch 1.6")
    if not _Unpickler(file).load()["little_endian"]:
        raise pickle.UnpicklingError("its numbers are big-endian")
    entries = _Unpickler(file).load()
    if not isinstance(entries, dict) or not all(isinstance(entry, _Stored) for entry in entries.values()):
        raise pickle.UnpicklingError("it holds something other than tensors")
    dtypes = {entry.key: entry.dtype for entry in entries.values()}
    storages: dict[str, NDArray[Any]] = {}
    for key in _Unpickler(file).load():
        (count,) = struct.unpack("<q", file.read(8))
        size = count * dtypes[key].itemsize
        if not 0 <= size <= os.fstat(file.fileno()).st_size - file.tell():
            raise pickle.UnpicklingError(f"the storage {key} is cut off")
        storages[key] = np.frombuffer(file.read(size), dtypes[key])
    return {name: _tensor(entry, storages[entry.key]) for name, entry in entries.items()}


def _tensor(entry: _Stored, storage: NDArray[Any]) -> NDArray[Any]:
    """A tensor as a view of its storage, in which its axes may lie in any order."""
    steps = [stride * (size - 1) for size, stride in zip(entry.shape, entry.strides, strict=True)]
    inside = min((entry.offset, *steps)) >= 0 and entry.offset + sum(steps) < storage.size
    if not inside or prod(entry.shape) > storage.size:
        raise pickle.UnpicklingError("a tensor lies outside its storage")
    strides = [stride * storage.itemsize for stride in entry.strides]
    return as_strided(storage[entry.offset :], entry.shape, strides, writeable=False)
