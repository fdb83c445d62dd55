"""Row 25: short outputs, reused buffers. A canary of A never appears in B's tensors."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest

from support.onnx_models import FLOAT, I64, U8, gather, identity, model, node
from support.workers import served, standing
from wasmind.errors import RuntimeFailed
from wasmind.nn.tensor import Tensor, TensorType

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.workers import Standing

CANARY = 0xC5


@pytest.fixture(scope="module", params=[1, 8], ids=["alone", "batched"])
def echo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    directory = tmp_path_factory.mktemp("echo")
    settings = {"batch": request.param, "batch_delay_ms": 1.0 if request.param > 1 else 0.0}
    with standing(identity(U8, ("N", "M")), directory, **settings) as made:
        yield made


def filled(value: int, *dims: int) -> np.ndarray:
    return np.full(dims, value, np.uint8)


@pytest.mark.parametrize("size", [100, 4096, 4097, 300_000])
async def test_after_a_large_canary_a_short_tensor_holds_only_itself(echo: Standing, size: int) -> None:
    async with echo.client() as made:
        await made.infer(filled(CANARY, 1, 400_000), tenant="a")
        (y,) = await made.infer(filled(1, 1, size), tenant="b")
        assert y.shape == (1, size)
        assert (y == 1).all()


async def test_tenants_at_the_same_time_get_their_own(echo: Standing) -> None:
    async with echo.client(shared_memory=1 << 20) as made:
        random = np.random.default_rng(11)

        async def one(tenant: int) -> None:
            for _ in range(12):
                size = int(random.choice([10, 4000, 5000, 60_000]))
                (y,) = await made.infer(filled(tenant, 1, size), tenant=str(tenant))
                assert y.shape == (1, size)
                assert (y == tenant).all()

        await asyncio.gather(*(one(tenant) for tenant in range(1, 21)))
        await made.settled()


async def test_cancelled_calls_leave_nothing_in_others(echo: Standing) -> None:
    async with echo.client(shared_memory=1 << 20) as made:
        await made.infer(filled(0, 1, 1))
        for _ in range(10):
            doomed = [
                asyncio.create_task(made.infer(filled(CANARY, 1, 50_000), tenant="a")) for _ in range(5)
            ]
            await asyncio.sleep(0.001)
            for task in doomed:
                task.cancel()
            for size in (40_000, 50_000):
                (y,) = await made.infer(filled(2, 1, size), tenant="b")
                assert (y == 2).all()
            await asyncio.gather(*doomed, return_exceptions=True)
        await made.settled()


async def test_a_failed_call_gives_no_memory_at_all(tmp_path: Path) -> None:
    async with served(gather(), tmp_path) as made:
        await made.infer(np.full(2000, 3, np.int64), tenant="a")
        with pytest.raises(RuntimeFailed) as caught:
            await made.infer(np.full(2000, 77, np.int64), tenant="b")
        assert not hasattr(caught.value, "tensors")
        await made.settled()


async def test_an_output_shorter_than_its_place_ends_where_it_ends(tmp_path: Path) -> None:
    """The place is as large as the last such output; the next is shorter."""
    data = model([node("NonZero", ["x"], ["y"])], [("x", FLOAT, ["N"])], [("y", I64, [1, "M"])])
    async with served(data, tmp_path) as made:
        full, few = np.ones(5000, np.float32), np.zeros(5000, np.float32)
        few[:3] = 1
        await made.infer(full, tenant="a")
        await made.infer(full, tenant="a")
        (y,) = await made.infer(few, tenant="b")
        assert y.tolist() == [[0, 1, 2]]
        await made.settled()


async def test_released_outputs_and_leases_cannot_be_read(echo: Standing) -> None:
    async with echo.client() as made:
        await made.infer(filled(0, 1, 1))
        lease = made.backend.lease(50_000)
        lease.view[:] = filled(CANARY, 50_000).tobytes()
        given = Tensor(TensorType.U8, (1, 50_000), lease.view)
        deadline = asyncio.get_running_loop().time() + 5
        outputs = await made.backend.infer((given,), deadline, "a")
        kept, view = outputs.tensors[0].data, lease.view
        outputs.release()
        lease.release()
        await made.infer(filled(CANARY, 1, 50_000), tenant="b")
        for data in (kept, view):
            with pytest.raises(ValueError, match="released"):
                bytes(data)
