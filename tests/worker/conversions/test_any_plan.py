"""Whatever is declared for whatever model: it is refused when the model loads, or what it gives fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from wasmind import config
from wasmind.errors import ConfigError, ConversionFailed, ModelLoadFailed
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.nn.validation import fits
from wasmind.worker.conversions.plan import Plan
from wasmind.worker.runtimes.base import DTYPES
from wasmind.worker.spec import Conversions

kinds = st.sampled_from(TensorType)
dims = st.lists(st.sampled_from([1, 2, 3, 4, "N", "L", None]), max_size=5).map(tuple)
numbers = st.floats(-300, 300, allow_nan=False)
casts = st.fixed_dictionaries({"type": kinds.map(str)}, optional={"scale": numbers, "offset": numbers})
normals = st.fixed_dictionaries(
    {},
    optional={
        "mean": numbers | st.lists(numbers, min_size=3, max_size=3),
        "std": st.floats(0.1, 10) | st.lists(st.floats(0.1, 10), min_size=3, max_size=3),
        "divide_by": st.floats(1, 255),
        "axis": st.integers(-6, 6),
    },
)
layouts = st.sampled_from(["NHWC", "NCHW", "HWC", "CHW"])
both = (
    casts.map(lambda value: {"cast": value})
    | layouts.map(lambda value: {"layout": value})
    | st.sampled_from(["add_batch", "drop_batch"])
)
plain_steps = st.lists(both, max_size=4)
input_steps = st.lists(both | normals.map(lambda value: {"normalize": value}), max_size=4)
output_steps = st.lists(both | st.just("softmax"), max_size=4)


def planned(inner: Signature, **declared: list[Any]) -> Plan | None:
    tables = {what: {inner_name(inner, what): {"convert": steps}} for what, steps in declared.items()}
    try:
        model = config.parse({"models": {"m": {"path": "m", **tables}}}, Path("/")).models["m"]
        return Plan(Conversions(inputs=model.inputs, outputs=model.outputs), inner)
    except (ConfigError, ModelLoadFailed):
        return None


def inner_name(inner: Signature, what: str) -> str:
    return (inner.inputs if what == "inputs" else inner.outputs)[0].name


def some(spec: TensorSpec, seed: int) -> np.ndarray[Any, Any]:
    """A tensor that fits."""
    chance = np.random.default_rng(seed)
    sizes: dict[object, int] = {}
    shape = [
        dim if isinstance(dim, int) else sizes.setdefault(dim, int(chance.integers(1, 4)))
        for dim in spec.dims or ()
    ]
    values = chance.uniform(-300, 300, shape)
    with np.errstate(all="ignore"):
        return np.asarray(values).astype(DTYPES[spec.type])


def check(spec: TensorSpec, array: np.ndarray[Any, Any]) -> None:
    assert array.dtype == DTYPES[spec.type]
    assert spec.dims is None or fits(spec.dims, array.shape)


@given(kinds, dims, input_steps, st.integers(0, 99))
def test_what_a_function_may_send_becomes_what_the_model_takes(
    kind: TensorType, shape: tuple[Any, ...], steps: list[Any], seed: int
) -> None:
    inner = TensorSpec("x", kind, shape)
    plan = planned(Signature((inner,), ()), inputs=steps)
    if plan is None:
        return
    (outer,) = plan.signature.inputs
    try:
        (given_,) = plan.to_model([some(outer, seed)])
    except ConversionFailed:
        assert "axis" in str(steps), "of an open dimension that had another size"
    else:
        check(inner, given_)
        assert given_.flags.c_contiguous


@example(TensorType.F16, (), [{"cast": {"type": "f16", "scale": scale}} for scale in (28.0, 29.0, 0.0)], 0)
@given(kinds, dims, output_steps, st.integers(0, 99))
def test_what_a_model_gives_becomes_what_its_functions_are_told(
    kind: TensorType, shape: tuple[Any, ...], steps: list[Any], seed: int
) -> None:
    inner = TensorSpec("y", kind, shape)
    plan = planned(Signature((), (inner,)), outputs=steps)
    if plan is None:
        return
    try:
        (given_,) = plan.from_model([some(inner, seed)])
    except ConversionFailed:
        assert "drop_batch" in steps, "of more than one row"
    else:
        check(plan.signature.outputs[0], given_)


@example(TensorType.F16, (1, 1), [{"layout": "HWC"}, "add_batch", "drop_batch", {"layout": "HWC"}], 1)
@given(kinds, dims, plain_steps, st.integers(1, 5))
def test_rows_are_counted_as_the_model_gets_them(
    kind: TensorType, shape: tuple[Any, ...], steps: list[Any], rows: int
) -> None:
    """What a call is said to add to a batch is what its tensor has in the end."""
    from wasmind.worker.wire import Infer

    plan = planned(Signature((TensorSpec("x", kind, ("B", *shape)),), ()), inputs=steps)
    if plan is None:
        return
    (outer,) = plan.signature.inputs
    array = some(outer, rows)
    said, group = plan.company(Infer(1, 0, (array.shape,), (b"",)))
    if group is not None:
        assert plan.to_model([array])[0].shape[0] == said
