"""Row 24: one bad, NaN or slow item in a batch beside another tenant's. The others get what is theirs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest

from support.onnx_models import FLOAT, I64, constant, gather, model, node
from support.workers import served, standing
from wasmind.errors import InferenceTimeout, RuntimeFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.workers import Client, Standing


def rows() -> bytes:
    """y = softmax(x · w) by row, for f32 [N,16]: a row's answer depends on nothing but the row."""
    weights = np.random.default_rng(0).standard_normal(16 * 5).astype(np.float32)
    return model(
        [node("MatMul", ["x", "w"], ["h"]), node("Softmax", ["h"], ["y"], axis=-1)],
        [("x", FLOAT, ["N", 16])],
        [("y", FLOAT, ["N", 5])],
        [constant("w", FLOAT, [16, 5], weights)],
    )


@pytest.fixture(scope="module")
def batched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    with standing(rows(), tmp_path_factory.mktemp("rows"), batch=8, batch_delay_ms=30) as made:
        assert made.ready.batch == 8
        yield made


async def together(made: Client, inputs: list[np.ndarray]) -> list[np.ndarray | BaseException]:
    """Sent in one breath, each by a tenant of its own."""
    results = await asyncio.gather(
        *(made.infer(x, tenant=f"t{number}") for number, x in enumerate(inputs)), return_exceptions=True
    )
    return [result[0] if isinstance(result, list) else result for result in results]


def some(count: int, *dims: int) -> list[np.ndarray]:
    random = np.random.default_rng(7)
    return [random.standard_normal(dims).astype(np.float32) for _ in range(count)]


async def test_calls_do_run_together(batched: Standing) -> None:
    async with batched.client() as made:
        inputs = some(8, 1, 16)

        async def one(x: np.ndarray) -> int:
            from support.workers import tensor

            loop = asyncio.get_running_loop()
            outputs = await made.backend.infer((tensor(x),), loop.time() + 5, "t")
            outputs.release()
            return outputs.batch

        await one(inputs[0])
        sizes = await asyncio.gather(*(one(x) for x in inputs))
        assert max(sizes) > 1


async def test_results_equal_those_of_a_run_alone(batched: Standing) -> None:
    async with batched.client() as made:
        inputs = some(40, 1, 16) + some(5, 3, 16)
        alone = [(await made.infer(x))[0] for x in inputs]
        for x, expected, got in zip(inputs, alone, await together(made, inputs), strict=True):
            assert isinstance(got, np.ndarray)
            assert got.shape == (x.shape[0], 5)
            np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf, 3e38])
async def test_numbers_that_are_none_stay_where_they_are(batched: Standing, poison: float) -> None:
    async with batched.client() as made:
        inputs = some(8, 1, 16)
        expected = [(await made.infer(x))[0] for x in inputs]
        inputs[3] = np.full((1, 16), poison, np.float32)
        for number, got in enumerate(await together(made, inputs)):
            assert isinstance(got, np.ndarray)
            if number != 3:
                assert np.isfinite(got).all()
                np.testing.assert_allclose(got, expected[number], rtol=1e-6)


async def test_one_that_fails_fails_alone(tmp_path: Path) -> None:
    async with served(gather(), tmp_path, batch=16, batch_delay_ms=30) as made:
        assert made.ready.batch == 16
        await made.infer(np.array([0], np.int64))
        indices = [0, 1, 99, 2, 3, -77, 1]
        results = await together(made, [np.array([index], np.int64) for index in indices])
        for index, got in zip(indices, results, strict=True):
            if index in (99, -77):
                assert isinstance(got, RuntimeFailed)
                assert f"index {index}" in (got.cause or "")
            else:
                assert isinstance(got, np.ndarray)
                assert got.tolist() == [[2.0 * index, 2.0 * index + 1]]


async def test_one_of_another_shape_runs_apart(batched: Standing) -> None:
    async with batched.client() as made:
        inputs = some(4, 1, 16)
        results = await together(
            made, [*inputs, np.zeros((1, 15), np.float32), np.zeros((0, 16), np.float32)]
        )
        assert isinstance(results[4], RuntimeFailed)
        assert all(isinstance(got, np.ndarray) for got in results[:4])


def looping() -> bytes:
    """y = x after as many rounds as the largest n of the batch says."""
    from onnx import helper

    from support.onnx_models import BOOL

    body = helper.make_graph(
        [node("Identity", ["go"], ["going"]), node("Add", ["v", "zero"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("i", I64, []),
            helper.make_tensor_value_info("go", BOOL, []),
            helper.make_tensor_value_info("v", FLOAT, ["N"]),
        ],
        [helper.make_tensor_value_info("going", BOOL, []), helper.make_tensor_value_info("w", FLOAT, ["N"])],
        [constant("zero", FLOAT, [1], [0.0])],
    )
    return model(
        [node("ReduceMax", ["n"], ["most"], keepdims=0), node("Loop", ["most", "", "x"], ["y"], body=body)],
        [("x", FLOAT, ["N"]), ("n", I64, ["N"])],
        [("y", FLOAT, ["N"])],
    )


async def test_one_that_does_not_end_is_ended_and_the_others_run_without_it(tmp_path: Path) -> None:
    async with served(looping(), tmp_path, batch=8, batch_delay_ms=30, run_limit_ms=400) as made:
        assert made.ready.batch == 8, made.ready.notes

        async def one(value: float, rounds: int) -> float:
            (y,) = await made.infer(np.array([value], np.float32), np.array([rounds], np.int64))
            return float(y[0])

        await one(0, 1)
        results = await asyncio.gather(
            *(one(v, 1 << 60 if v == 3 else 2) for v in range(6)), return_exceptions=True
        )
        for value, got in enumerate(results):
            if value == 3:
                assert isinstance(got, InferenceTimeout)
            else:
                assert got == value


async def test_a_model_that_mixes_its_rows_is_never_batched(tmp_path: Path) -> None:
    """Its open first dimension is no batch: one tenant's answer would depend on another's input."""
    data = model([node("Softmax", ["x"], ["y"], axis=0)], [("x", FLOAT, ["N", 4])], [("y", FLOAT, ["N", 4])])
    async with served(data, tmp_path, batch=8, batch_delay_ms=30) as made:
        assert made.ready.batch == 1
        assert "other answers together than alone" in " ".join(made.ready.notes)
        results = await together(made, some(8, 1, 4))
        for got in results:
            assert isinstance(got, np.ndarray)
            assert got.tolist() == [[1.0] * 4]
