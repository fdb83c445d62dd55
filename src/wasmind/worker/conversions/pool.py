"""One vector of the vectors of all tokens, as sentence embeddings are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wasmind.errors import ConversionFailed, ModelLoadFailed
from wasmind.nn.signature import TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.worker.conversions.stage import impossible
from wasmind.worker.runtimes.base import DTYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wasmind.config.convert import Pool
    from wasmind.nn.signature import Signature
    from wasmind.worker.runtimes.base import Array

_USUAL_MASK = "attention_mask"
_SMALLEST = np.float32(1e-9)


def pool(
    step: Pool, inner: TensorSpec, model: Signature
) -> tuple[TensorSpec, Callable[[Array, Sequence[Array]], Array]]:
    """`[N, tokens, size]` to `[N, size]`; what it gives is called with the model's inputs too, of which one
    is the mask. Raises ModelLoadFailed.
    """
    dims = inner.dims
    if dims is None or len(dims) != 3:
        impossible("pool", inner, "it is not [N, tokens, size]", "leave the step out")
    kind = inner.type if inner.type in (TensorType.F32, TensorType.F64) else TensorType.F32
    at = mask_of(step, model)

    def run(array: Array, inputs: Sequence[Array]) -> Array:
        values = array.astype(DTYPES[kind])
        mask = np.ones(values.shape[:2]) if at is None else inputs[at]
        if values.ndim != 3 or mask.shape != values.shape[:2]:
            raise ConversionFailed(
                f'output "{inner.name}": a mask of {list(mask.shape)} does not fit {list(values.shape)}'
            )
        return _unit(_pooled(step, values, mask)) if step.unit else _pooled(step, values, mask)

    return TensorSpec(inner.name, kind, (dims[0], dims[2])), run


def mask_of(step: Pool, model: Signature) -> int | None:
    """Which of the model's inputs is the mask; None: every token counts. Raises ModelLoadFailed."""
    places = {spec.name: index for index, spec in enumerate(model.inputs)}
    if step.mask is not None and step.mask not in places:
        raise ModelLoadFailed(
            f"the conversion pool has no mask: the model has no input {step.mask!r}",
            cause=f"its inputs are {', '.join(places)}",
            remedy="leave pool.mask out, or name one of these",
        )
    return places.get(step.mask or _USUAL_MASK)


def _pooled(step: Pool, values: Array, mask: Array) -> Array:
    if not values.shape[1]:
        return np.zeros((values.shape[0], values.shape[2]), values.dtype)
    if step.by == "first":
        return values[:, 0]
    counted = (mask != 0)[:, :, np.newaxis]
    if step.by == "max":
        found: Array = np.where(counted, values, -np.inf).max(axis=1)
        return np.where(np.isneginf(found), 0, found).astype(values.dtype)
    weights = counted.astype(values.dtype)
    mean: Array = (values * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), _SMALLEST)
    return mean.astype(values.dtype)


def _unit(vectors: Array) -> Array:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: Array = vectors / np.maximum(lengths, _SMALLEST)
    return found.astype(vectors.dtype)
