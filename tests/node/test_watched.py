"""Tasks of the supervisor: a failure is told at once, an end or a cancellation is nobody's business."""

from __future__ import annotations

import asyncio
from typing import Any

from wasmind.node.watched import watched


async def test_a_failure_goes_to_the_loops_handler() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    async def fails() -> None:
        raise KeyError("x")

    async def ends() -> None:
        await asyncio.sleep(0)

    tasks = [watched(fails()), watched(ends()), watched(asyncio.sleep(60))]
    await asyncio.sleep(0.01)
    tasks[2].cancel()
    await asyncio.wait(tasks)
    await asyncio.sleep(0)
    (context,) = told
    assert "fails failed" in context["message"]
    assert isinstance(context["exception"], KeyError)
    asyncio.get_running_loop().set_exception_handler(None)
