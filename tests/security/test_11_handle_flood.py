"""Row 11: a flood of graphs, contexts or tensors is an errno, and all of it is freed at the guest's end."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pytest

from support import onnx_models
from support.backend import FixedModels, OnnxBackend
from support.caller import F32, NAME, Caller
from wasmind.config import Limits, Size
from wasmind.nn.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.sandbox import Program

LIMITS = Limits(cpu_ms=600_000)


class Deployed:
    def __init__(self) -> None:
        self.backend = OnnxBackend(onnx_models.linear())
        self.models = FixedModels(linear=Graph("linear", self.backend))


@pytest.fixture
def deployed() -> Deployed:
    return Deployed()


@pytest.fixture
def flood(program: Callable[[str], Program]) -> Program:
    return program("flood.wat")


async def flooded(guest: Caller, times: int) -> None:
    session = guest.run.session
    graph = session.load_by_name("linear")
    assert isinstance(graph, int)
    context = session.init_execution_context(graph)
    guest.memory.write(NAME, b"linear")
    record = guest.tensor((1, 4), F32, bytes(16))
    limit = LIMITS.nn_contexts
    assert await guest.call("graphs", NAME, 6, times) == min(times, limit - 1)
    assert await guest.call("contexts", graph, times) == min(times, limit - 1)
    assert await guest.call("inputs", context, record, times) == times


async def test_a_flood_of_handles(flood: Program, deployed: Deployed) -> None:
    async with Caller(flood, deployed.models, LIMITS) as guest:
        await flooded(guest, 20_000)
        assert deployed.backend.held == 1  # the one input, over and over
        assert len(guest.notes) <= 33
    assert deployed.backend.held == 0


async def test_a_flood_of_tensors(flood: Program) -> None:
    """Each context may hold its inputs, and all together what limits.nn_memory says."""
    backend = OnnxBackend(onnx_models.add())
    limits = Limits(cpu_ms=600_000, nn_memory=Size(20_000))
    async with Caller(flood, FixedModels(add=Graph("add", backend)), limits) as guest:
        session = guest.run.session
        graph = session.load_by_name("add")
        assert isinstance(graph, int)
        record = guest.tensor((50, 3), F32, bytes(600))
        good = 0
        for _ in range(limits.nn_contexts):
            good += await guest.call("inputs", session.init_execution_context(graph), record, 1)
        assert good == 20_000 // (600 + 256)
        assert backend.held == good
        assert session.memory_used <= 20_000
    assert backend.held == 0


@pytest.mark.slow
async def test_a_million_of_each(flood: Program, deployed: Deployed) -> None:
    async with Caller(flood, deployed.models, LIMITS) as guest:
        await flooded(guest, 1000)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await flooded_again(guest, 1_000_000)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 10
    assert deployed.backend.held == 0


async def flooded_again(guest: Caller, times: int) -> None:
    """All handles are taken: nothing more is given."""
    assert await guest.call("graphs", NAME, 6, times) == 0
    assert await guest.call("contexts", 7, times) == 0
