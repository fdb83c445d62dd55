"""The best of a classifier's classes, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from wasmind.nn.signature import TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.worker.conversions.stage import Stage, impossible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmind.config.convert import TopK
    from wasmind.worker.runtimes.base import Array


def top_k(step: TopK, inner: TensorSpec, labels: Sequence[str]) -> Stage:
    """`[{"label": …, "index": …, "score": …}, …]`, the best first.

    A list of such lists where the model gives several rows. Without labels there is only the index.
    """
    dims = inner.dims
    if dims is not None and not dims:
        impossible("top_k", inner, "it is a single number", "leave the step out")
    size = dims[-1] if dims else None
    if labels and isinstance(size, int) and size != len(labels):
        impossible("top_k", inner, f"there are {len(labels)} labels", "give the labels of this very model")
    flat = dims is not None and all(dim == 1 for dim in dims[:-1])
    outer = TensorSpec(inner.name, TensorType.U8, (f"{inner.name}_bytes",))

    def run(array: Array) -> Array:
        rows = array.reshape(-1, array.shape[-1] if array.ndim else 1)
        found = [_best(row, step, labels) for row in rows]
        body = msgspec.json.encode(found[0] if flat and len(found) == 1 else found)
        return np.frombuffer(body, np.uint8)

    return Stage(outer, run)


def _best(row: Array, step: TopK, labels: Sequence[str]) -> list[dict[str, Any]]:
    scores = np.nan_to_num(row.astype(np.float64), nan=-np.inf)  # what is no number is not the best
    order = np.argsort(-scores, kind="stable")[: step.k]
    found = []
    for index in order.tolist():
        if step.min_score is not None and not scores[index] >= step.min_score:
            break
        named = {"label": labels[index]} if index < len(labels) else {}
        found.append({**named, "index": index, "score": _shortest(row[index])})
    return found


def _shortest(value: Any) -> float | int | None:
    """A number in as few digits as tell it apart in its own type; None (JSON has no other word) for none."""
    if value.dtype.kind in "iub":
        return int(value)
    number = float(str(value)) if value.dtype in (np.float32, np.float64) else float(value)
    return number if np.isfinite(number) else None
