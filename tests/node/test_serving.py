"""What processes are told of what is served."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
import structlog

from wasmind.node.fleet import Fleet
from wasmind.node.messages import InferenceEntry
from wasmind.node.plan import Plan
from wasmind.node.serving import Serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def fleet(tmp_path: Path, plan: Plan) -> AsyncIterator[Fleet]:
    found = Fleet(tmp_path, lambda _: None, structlog.get_logger())
    found.add(plan.models[0])
    yield found
    await found.close()


async def test_inference_processes_get_the_same_models_and_who_may_call(plan: Plan, fleet: Fleet) -> None:
    callers = InferenceEntry(request_body=1, body_stall_ms=2.0, concurrency=3)
    serving = Serving(3, msgspec.structs.replace(plan, inference=callers), ())
    edges, inference = serving.snapshot(fleet), serving.inference_snapshot(fleet)
    assert edges.generation == inference.generation == 3
    assert [model.id for model in edges.models] == [model.id for model in inference.models]
    assert serving.models == {model.id for model in edges.models}
    assert (edges.inference, inference.inference) == (None, callers)
