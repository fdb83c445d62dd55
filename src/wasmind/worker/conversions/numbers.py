"""Steps that change numbers or their order: cast, normalize, layout, batch dimension, softmax."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from wasmind.config.convert import Cast
from wasmind.errors import ConversionFailed
from wasmind.nn.signature import TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.worker.conversions.stage import Stage, impossible
from wasmind.worker.runtimes.base import DTYPES

if TYPE_CHECKING:
    from wasmind.config.convert import Element, Layout, Normalize
    from wasmind.worker.runtimes.base import Array

_FLOATS = frozenset({TensorType.F16, TensorType.F32, TensorType.F64, TensorType.BF16})
_EXACT_IN_F32 = _FLOATS - {TensorType.F64} | {
    TensorType.U8,
    TensorType.I8,
    TensorType.I16,
    TensorType.U16,
    TensorType.BOOL,
}
_SWAPPED = {"NHWC": (0, 3, 1, 2), "NCHW": (0, 2, 3, 1), "HWC": (2, 0, 1), "CHW": (1, 2, 0)}
"""For each layout on the function's side, where in it the model's dimensions are."""


def cast_input(step: Cast | Element, inner: TensorSpec) -> Stage:
    """From the declared type to the model's, scaled and moved."""
    step = step if isinstance(step, Cast) else Cast(type=step)
    outer = TensorSpec(inner.name, _element(step.type), inner.dims)
    return Stage(outer, _caster(step, outer.type, inner.type))


def cast_output(step: Cast | Element, inner: TensorSpec) -> Stage:
    """From the model's type to the declared one, scaled and moved."""
    step = step if isinstance(step, Cast) else Cast(type=step)
    outer = TensorSpec(inner.name, _element(step.type), inner.dims)
    return Stage(outer, _caster(step, inner.type, outer.type))


def _element(name: str) -> TensorType:
    return next(kind for kind in TensorType if kind.value == name)


def _caster(step: Cast, source: TensorType, target: TensorType) -> Any:
    work: np.dtype[Any] | None = None
    if (step.scale, step.offset) != (1.0, 0.0):
        work = np.dtype(np.float32 if {source, target} <= _EXACT_IN_F32 else np.float64)
    return partial(scaled, target=DTYPES[target], work=work, scale=step.scale, offset=step.offset)


def scaled(
    array: Array, *, target: np.dtype[Any], work: np.dtype[Any] | None, scale: float, offset: float
) -> Array:
    """`array * scale + offset`, computed in the type `work`, or as it is where that is None, in `target`.

    What goes beyond a type's range is infinite, and what then has no value is no number, without a warning.
    """
    if work is not None:
        with np.errstate(all="ignore"):
            array = array.astype(work)
            array *= work.type(scale)
            array += work.type(offset)
    return converted(array, target)


def converted(array: Array, target: np.dtype[Any]) -> Array:
    """The values in another type: to an integer rounded, what does not fit is the nearest that does, and
    what is no number is 0.
    """
    with np.errstate(all="ignore"):
        if target.kind not in "iu" or array.dtype.kind == "b":
            return array.astype(target)  # to a bool: whether it is not 0
        limits = np.iinfo(target.str)
        if array.dtype.kind in "iu":
            held = np.iinfo(array.dtype.str)
            low, high = max(limits.min, held.min), min(limits.max, held.max)
            clipped: Array = np.clip(array, array.dtype.type(low), array.dtype.type(high))
            return clipped.astype(target)
        whole = np.rint(array.astype(np.float64))
        high = limits.max if target.itemsize < 8 else np.nextafter(float(limits.max), 0.0)
        held_in: Array = np.nan_to_num(np.clip(whole, float(limits.min), float(high)), nan=0.0)
        return held_in.astype(target)


def normalize(step: Normalize, inner: TensorSpec) -> Stage:
    """`(value / divide_by - mean) / std`, for each channel, in the model's own type."""
    if inner.type not in _FLOATS:
        impossible("normalize", inner, "it does not take fractions", "leave the step out")
    each = [value for value in (step.mean, step.std) if isinstance(value, list)]
    shape: tuple[int, ...] = ()
    axis = -1
    if each:
        axis = _channels(step, inner, len(each[0]))
        shape = (len(each[0]),) + (1,) * (-axis - 1)
    # Narrow types have too few digits to compute with.
    work = np.dtype(np.float64 if inner.type is TensorType.F64 else np.float32)
    mean, std = (
        np.asarray(value, work).reshape(shape if isinstance(value, list) else ())
        for value in (step.mean, step.std)
    )
    divide_by, target = work.type(step.divide_by), DTYPES[inner.type]

    def run(array: Array) -> Array:
        if shape and array.shape[axis] != shape[0]:
            raise ConversionFailed(
                f'input "{inner.name}": there are {array.shape[axis]} channels, {shape[0]} are normalized',
                remedy=f"send {shape[0]} channels in dimension {axis + array.ndim}",
            )
        with np.errstate(all="ignore"):
            found = array.astype(work)
            if divide_by != 1:
                found /= divide_by
            found -= mean
            found /= std
            return found.astype(target, copy=False)

    return Stage(inner, run)


def _channels(step: Normalize, inner: TensorSpec, count: int) -> int:
    """The channels' dimension, counted from the last, which is -1."""
    dims = inner.dims
    if dims is None:
        impossible("normalize", inner, "its rank is not known", "give one mean and one std for all")
    axes = [step.axis] if step.axis is not None else [-1, 1 if len(dims) == 4 else 0]
    for axis in axes:
        place = axis - len(dims) if axis >= 0 else axis
        if -len(dims) <= place < 0 and (
            dims[place] == count or (step.axis is not None and _is_open(dims[place]))
        ):
            return place
    return impossible(
        "normalize", inner, f"no dimension of it is {count} channels", "say where they are with `axis`"
    )


def layout_input(step: Layout, inner: TensorSpec) -> Stage:
    """The function's layout to the model's, which is the other one."""
    return _layout(step, inner, _SWAPPED[step])


def layout_output(step: Layout, inner: TensorSpec) -> Stage:
    """The model's layout to the function's."""
    return _layout(step, inner, _back(_SWAPPED[step]))


def _back(order: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(place) for place in np.argsort(order))


def _layout(step: Layout, inner: TensorSpec, order: tuple[int, ...]) -> Stage:
    dims = inner.dims
    if dims is None or len(dims) != len(step):
        impossible(
            "layout",
            inner,
            f"{step} has {len(step)} dimensions",
            "use NHWC or NCHW for four, HWC or CHW for three",
        )
    outward = _back(_SWAPPED[step])
    outer = TensorSpec(inner.name, inner.type, tuple(dims[place] for place in outward))
    return Stage(outer, lambda array: np.ascontiguousarray(array.transpose(order)), moved=outward.index)


def without_batch(inner: TensorSpec) -> Stage:
    """An input to which the batch dimension is added."""
    _require_one(inner, "add_batch")
    outer = TensorSpec(inner.name, inner.type, (inner.dims or ())[1:])
    return Stage(outer, lambda array: array[np.newaxis], one_row=True)


def with_batch(inner: TensorSpec, step: str) -> Stage:
    """A tensor with a 1 in front on the function's side only: dropped from inputs, added to outputs."""
    if inner.dims is None:
        impossible(step, inner, "its rank is not known", "leave the step out")
    outer = TensorSpec(inner.name, inner.type, (1, *inner.dims))
    if step == "drop_batch":
        return Stage(outer, lambda array: array[0], moved=lambda dimension: dimension + 1)
    return Stage(outer, lambda array: array[np.newaxis])


def drop_batch_output(inner: TensorSpec) -> Stage:
    """An output whose batch dimension is dropped; it must be one row."""
    _require_one(inner, "drop_batch")

    def run(array: Array) -> Array:
        if not array.ndim or array.shape[0] != 1:
            raise ConversionFailed(
                f'output "{inner.name}": there are {array.shape[0] if array.ndim else "no"} rows, '
                "and drop_batch is for one",
                remedy="send one item at a time, or leave drop_batch out",
            )
        row: Array = array[0]
        return row

    return Stage(TensorSpec(inner.name, inner.type, (inner.dims or ())[1:]), run)


def softmax(inner: TensorSpec) -> Stage:
    """The last dimension as probabilities: they sum up to 1."""
    if inner.dims is not None and not inner.dims:
        impossible("softmax", inner, "it is a single number", "leave the step out")
    kind = inner.type if inner.type in _FLOATS else TensorType.F32
    outer = TensorSpec(inner.name, kind, inner.dims)
    work = np.dtype(np.float64 if inner.type is TensorType.F64 else np.float32)
    target = DTYPES[kind]

    def run(array: Array) -> Array:
        if not array.size:
            return array.astype(target)
        with np.errstate(all="ignore"):
            found = array.astype(work)
            found -= found.max(axis=-1, keepdims=True)
            np.exp(found, out=found)
            found /= found.sum(axis=-1, keepdims=True)
            return found.astype(target, copy=False)

    return Stage(outer, run)


def _require_one(inner: TensorSpec, step: str) -> None:
    dims = inner.dims
    if not dims or not (dims[0] == 1 or _is_open(dims[0])):
        impossible(step, inner, "its first dimension is no batch of one", "leave the step out")


def _is_open(dim: object) -> bool:
    return not isinstance(dim, int)
