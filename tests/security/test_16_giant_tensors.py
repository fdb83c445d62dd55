"""Row 16: a tiny model that makes giant tensors. Its request fails or its worker dies; the next works."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest

from support.onnx_models import FLOAT, I64, constant, model, node
from support.workers import served, spec_of
from wasmind.errors import ModelDied, ModelLoadFailed, NnCode, NnError
from wasmind.worker.spawn import listen, spawn

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 400 << 20
HUGE = np.array([1 << 12, 1 << 18], np.int64)  # 4 GiB of f32
SMALL = np.array([2, 3], np.int64)


def made_at_will(kind: str) -> bytes:
    """A tensor whose shape the guest sends: f32 of i64 [2]."""
    if kind == "ConstantOfShape":
        nodes = [node(kind, ["shape"], ["big"])]
    else:
        nodes = [node(kind, ["one", "shape"], ["big"])]
    nodes.append(node("ReduceSum", ["big"], ["y"], keepdims=0))
    return model(nodes, [("shape", I64, [2])], [("y", FLOAT, [])], [constant("one", FLOAT, [1, 1], [1.0])])


@pytest.mark.parametrize("kind", ["ConstantOfShape", "Tile", "Expand"])
async def test_the_request_fails_and_the_next_one_is_answered(tmp_path: Path, kind: str) -> None:
    async with served(made_at_will(kind), tmp_path, memory=LIMIT, warm_up=False) as made:
        assert len(await made.infer(SMALL)) == 1
        with pytest.raises(NnError) as caught:
            await made.infer(HUGE)
        assert caught.value.nn_code in (NnCode.RUNTIME_ERROR, NnCode.TOO_LARGE)
        if isinstance(caught.value, ModelDied):
            assert "memory limit of 400 MiB" in (await made.process.wait()).reason
            await made.restart()
        else:
            assert "memory" in caught.value.explain()
        expected = 0.0 if kind == "ConstantOfShape" else 6.0
        assert (await made.infer(SMALL))[0] == expected


async def test_neighbours_in_the_same_process_are_not_disturbed(tmp_path: Path) -> None:
    async with served(made_at_will("Expand"), tmp_path, memory=LIMIT, instances=2, warm_up=False) as made:
        results = await asyncio.gather(
            *(made.infer(HUGE if number % 4 == 0 else SMALL) for number in range(24)), return_exceptions=True
        )
        for number, result in enumerate(results):
            if number % 4 == 0:
                assert isinstance(result, NnError)
            else:
                assert isinstance(result, list), result
                assert result[0] == 6.0


async def test_a_model_that_unfolds_while_it_loads_is_refused(tmp_path: Path) -> None:
    data = model(
        [node("ConstantOfShape", ["shape"], ["big"]), node("Add", ["big", "x"], ["y"])],
        [("x", FLOAT, [1])],
        [("y", FLOAT, ["N", "M"])],
        [constant("shape", I64, [2], HUGE)],
    )
    path = tmp_path / "bomb.onnx"
    path.write_bytes(data)
    assert len(data) < 500
    with listen(tmp_path / "s.sock") as listener:
        process = await spawn(spec_of(path, memory=LIMIT), listener)
        # Where it is not unfolded while it loads, warming up meets the limit and says so.
        (outcome,) = await asyncio.gather(process.ready(), return_exceptions=True)
        await process.stop()
    words = outcome.explain() if isinstance(outcome, ModelLoadFailed) else " ".join(outcome.notes)
    assert "memory" in words


async def test_what_all_of_it_takes_stays_under_the_limit(tmp_path: Path) -> None:
    async with served(made_at_will("Tile"), tmp_path, memory=LIMIT, warm_up=False) as made:
        for side in (1 << 12, 1 << 13, 1 << 14):
            try:
                await made.infer(np.array([side, 1 << 12], np.int64))
            except NnError:
                break
        else:
            pytest.fail("no size was too large")
        usage = made.process.usage()
        assert usage is None or usage.memory < LIMIT + (200 << 20)
