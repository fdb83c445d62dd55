"""The first runs of a model, before anybody waits: warming up, and finding out whether it can be batched."""

from __future__ import annotations

import time
from math import prod
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from wasmind.nn.tensor import TensorType
from wasmind.worker.runtimes.base import DTYPES
from wasmind.worker.shapes import why_not_batched

if TYPE_CHECKING:
    from wasmind.nn.signature import Signature, TensorSpec
    from wasmind.worker.runtimes.base import Array, Execution

_SIZES = (1, 16, 128)
_MEASURED, _MEASURED_MS = 5, 250.0
_MAX_ELEMENTS = 1 << 24
_SCATTER, _RANGE = np.uint64(2_654_435_761), np.uint64(10_007)
_FLOATS = frozenset({TensorType.F16, TensorType.F32, TensorType.F64, TensorType.BF16})


def warm_up(execution: Execution, signature: Signature) -> str | None:
    """Run once with made-up inputs of plausible shapes. Returns why that did not work, in words, or None."""
    why = None
    for size in () if signature.steps else _SIZES:  # one that steps has warmed up while it loaded
        try:
            execution.run(made_up(signature, size, seed=0), [None] * len(signature.outputs))
        except Exception as error:  # noqa: BLE001 - a guess at shapes may be wrong in any way
            why = why or f"not warmed up: {str(error) or type(error).__name__}"
            continue
        return None
    return why


def measure(execution: Execution, signature: Signature) -> float | None:
    """Milliseconds of one inference on a warm model: the median of a few, of one if it is slow. None where
    none succeeds, and for a model that steps: how many steps an inference has is for its caller to say.
    """
    places: list[Array | None] = [None] * len(signature.outputs)
    for size in () if signature.steps else _SIZES:
        took: list[float] = []
        try:
            inputs = made_up(signature, size, seed=0)
            while len(took) < _MEASURED and sum(took) < _MEASURED_MS:
                began = time.perf_counter()
                execution.run(inputs, places)
                took.append((time.perf_counter() - began) * 1e3)
        except Exception:  # noqa: BLE001, S112 - a guess at shapes may be wrong in any way
            continue
        return median(took)
    return None


def probe_batching(execution: Execution, signature: Signature) -> str | None:
    """Run two inputs alone and together. Returns why calls must not run together, or None when they may.

    A first dimension that is open need not be a batch: a model may normalise or sum over it. Then one
    tenant's answer would depend on another's input.
    """
    why = why_not_batched(signature)
    if why:
        return f"not batched: {why}"
    for size in _SIZES:
        inputs = [made_up(signature, size, seed=seed, rows=1) for seed in (1, 2)]
        places: list[Array | None] = [None] * len(signature.outputs)
        try:
            alone = [[output.copy() for output in execution.run(each, places)] for each in inputs]
        except Exception as error:  # noqa: BLE001 - a guess at shapes may be wrong in any way
            why = why or f"not batched: {str(error) or type(error).__name__}"
            continue
        try:
            together = execution.run([np.concatenate(pair) for pair in zip(*inputs, strict=True)], places)
        except Exception as error:  # noqa: BLE001 - as above
            return f"not batched: {str(error) or type(error).__name__}"
        if all(_same(np.concatenate(pair), both) for *pair, both in zip(*alone, together, strict=True)):
            return None
        return "not batched: two inputs give other answers together than alone"
    return why


def made_up(signature: Signature, size: int, *, seed: int, rows: int | None = None) -> list[Array]:
    """Inputs with every open dimension set to `size`, and the first to `rows` if given. Raises ValueError."""
    return [_made_up(spec, size, seed * 1009 + index, rows) for index, spec in enumerate(signature.inputs)]


def _made_up(spec: TensorSpec, size: int, seed: int, rows: int | None) -> Array:
    dims = [dim if isinstance(dim, int) else size for dim in spec.dims or ()]
    if dims and not isinstance((spec.dims or (0,))[0], int):
        dims[0] = rows or 1
    if min(dims, default=0) < 0 or prod(dims) > _MAX_ELEMENTS:
        raise ValueError(f"the input {spec.name!r} ({spec}) is too large to make up")
    # Scattered as well as needed here, without importing a generator of random numbers.
    scattered = (np.arange(1, prod(dims) + 1, dtype=np.uint64) * _SCATTER + np.uint64(seed * 7919)) % _RANGE
    if spec.type in _FLOATS:
        return (scattered / float(_RANGE)).astype(DTYPES[spec.type]).reshape(dims)
    return (scattered % np.uint64(2)).astype(DTYPES[spec.type]).reshape(dims)


def _same(one: Array, other: Array) -> bool:
    if one.shape != other.shape:
        return False
    if one.dtype.kind in "iub":
        return bool(np.array_equal(one, other))
    left, right = one.astype(np.float64), other.astype(np.float64)
    scale = float(np.nanmax(np.abs(left), initial=0.0))
    return bool(np.allclose(left, right, rtol=1e-2, atol=1e-3 * scale, equal_nan=True))
