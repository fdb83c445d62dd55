"""The protocol's classification extension: the highest values of an output, with their labels, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wasmind.errors import InvalidArgument
from wasmind.nn.tensor import TensorType
from wasmind.worker.runtimes.base import DTYPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmind.nn.tensor import Tensor


def classify(tensor: Tensor, count: int, labels: Sequence[str]) -> tuple[list[int], list[str]]:
    """Shape and elements of the `count` highest values of each row: `VALUE:INDEX`, `VALUE:INDEX:LABEL`.

    The last dimension are the classes; what is before it are rows. Raises InvalidArgument.
    """
    if count < 1 or not tensor.dims or tensor.type in (TensorType.BOOL, TensorType.BF16):
        raise InvalidArgument(
            f"classification of {count} classes of {tensor}",
            remedy="ask for 1 or more classes of an output that has numbers for them",
        )
    rows = np.frombuffer(tensor.data, DTYPES[tensor.type]).reshape(-1, tensor.dims[-1] or 1)
    most = min(count, rows.shape[1])
    best = np.argsort(-rows.astype(np.float64), axis=1, kind="stable")[:, :most]
    texts = [
        _text(row[index], int(index), labels)
        for row, indices in zip(rows, best, strict=True)
        for index in indices
    ]
    return [*tensor.dims[:-1], most], texts


def packed(texts: Sequence[str]) -> bytes:
    """Elements of the datatype BYTES as raw bytes: each with its length before it, 4 bytes, little-endian."""
    encoded = [text.encode() for text in texts]
    return b"".join(len(one).to_bytes(4, "little") + one for one in encoded)


def _text(value: np.generic, index: int, labels: Sequence[str]) -> str:
    number = f"{float(value):f}" if value.dtype.kind == "f" else str(value)
    return f"{number}:{index}" + (f":{labels[index]}" if index < len(labels) else "")
