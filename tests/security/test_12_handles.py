"""Row 12: a stale handle, and another guest's, never resolve."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import onnx_models
from support.backend import FixedModels, OnnxBackend
from support.caller import BUFFER, F32, OUT, Caller
from wasmind.nn.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.sandbox import Program

BACKEND = OnnxBackend(onnx_models.linear())


def models() -> FixedModels:
    return FixedModels(linear=Graph("linear", BACKEND))


@pytest.fixture
def ephemeral(program: Callable[[str], Program]) -> Program:
    return program("wasi_ephemeral_nn")


async def refused(guest: Caller, handle: int) -> None:
    record = guest.tensor((1, 4), F32, b"\xee" * 16)
    for name, values in {
        "init_execution_context": (handle, OUT),
        "set_input": (handle, 0, record),
        "compute": (handle,),
        "get_output": (handle, 0, BUFFER, 64, OUT),
        "unload": (handle,),
        "finalize_execution_context": (handle,),
    }.items():
        assert await guest.call(name, *values) == 1, name


async def test_another_guests_handles(ephemeral: Program) -> None:
    async with Caller(ephemeral, models()) as victim, Caller(ephemeral, models()) as thief:
        context = await victim.context()
        assert await victim.set_input(context, 0, (1, 4), F32, bytes(16)) == 0
        assert await victim.call("compute", context) == 0
        for handle in range(context - 8, context + 9):
            await refused(thief, handle)
        assert (await victim.output(context))[:2] == (0, 16)


async def test_stale_handles(ephemeral: Program) -> None:
    async with Caller(ephemeral, models()) as guest:
        stale = []
        for _ in range(20):
            assert await guest.named() == 0
            graph = guest.out
            assert await guest.call("init_execution_context", graph, OUT) == 0
            context = guest.out
            assert await guest.call("finalize_execution_context", context) == 0
            assert await guest.call("unload", graph) == 0
            stale += [graph, context]
        assert len(set(stale)) == 40
        live = await guest.context()
        for handle in stale:
            assert handle != live
            await refused(guest, handle)


async def test_a_guest_that_ended(ephemeral: Program) -> None:
    async with Caller(ephemeral, models()) as first:
        context = await first.context()
    for _ in range(50):
        async with Caller(ephemeral, models()) as next_one:
            assert await next_one.context() != context
            assert await next_one.call("compute", context) == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 2**32 - 1), max_size=12))
def test_guessed_handles(ephemeral: Program, guesses: list[int]) -> None:
    async def run() -> None:
        async with Caller(ephemeral, models()) as guest:
            context = await guest.context()
            graph = context - 1  # handles of one guest follow each other
            for guess in guesses:
                assert (await guest.call("compute", guess) == 1) or guess == context
                assert (await guest.call("unload", guess) == 1) or guess == graph

    asyncio.run(run())
