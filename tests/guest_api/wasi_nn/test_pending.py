"""Computations that are started together: function by function, and by a component that waits for them."""

from __future__ import annotations

import asyncio
import os
import shutil
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from support import onnx_models
from support.backend import FixedModels, OnnxBackend
from support.components import CACHE
from support.toolchains import BUILT, WIT, c
from wasmind.component.abi.values import Err, Ok
from wasmind.component.build import build_now
from wasmind.component.component import Component
from wasmind.config import Limits
from wasmind.errors import CpuBudgetSpent, LimitExceeded, ModelBusy
from wasmind.guest_api.cgi import Request
from wasmind.guest_api.wasi.p2.pollable import wait_any
from wasmind.guest_api.wasi_http import WORLD, Client, Exchange, Service
from wasmind.guest_api.wasi_nn import pending, wit
from wasmind.nn.graph import Graph
from wasmind.nn.session import Session

if TYPE_CHECKING:
    from wasmind.component.prepare import Form
    from wasmind.sandbox import Engine


class Slow(OnnxBackend):
    """A backend that waits for the test, then computes or fails."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.gate = asyncio.Event()
        self.running = self.most = 0
        self.error: Exception | None = None

    async def infer(self, *arguments: Any) -> Any:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.gate.wait()
            if self.error is not None:
                raise self.error
            return await super().infer(*arguments)
        finally:
            self.running -= 1


class Made:
    """A guest's host functions, called without a guest."""

    def __init__(self) -> None:
        self.backend = Slow(onnx_models.plus_one())
        models = FixedModels(plus=Graph("plus", self.backend))
        self.session = Session(models, Limits(), "tenant")
        self.guest: Any = SimpleNamespace(
            host=SimpleNamespace(nn=self.session, about_to_wait=lambda: None),
            figures=SimpleNamespace(inference_ns=0),
        )
        self.graph = wit.load_by_name(self.guest, "plus")

    def context(self) -> int:
        made: int = wit.init_execution_context(self.guest, self.graph)
        return made

    def start(self, context: int, *values: float) -> pending.Pending:
        tensor = wit.new_tensor(self.guest, [len(values)], "FP32", struct.pack(f"<{len(values)}f", *values))
        return pending.compute(self.guest, context, [("x", tensor)])

    def values(self, answer: Any) -> tuple[float, ...]:
        assert isinstance(answer, Ok)
        assert isinstance(answer.value, Ok), answer
        [(name, handle)] = answer.value.value
        assert name == "y"
        data = wit.data_of_tensor(self.guest, handle)
        wit._drop_tensor(self.guest, handle)
        return struct.unpack(f"<{len(data) // 4}f", data)  # type: ignore[arg-type]  # bytes


async def test_computations_run_together_and_are_waited_for() -> None:
    made = Made()
    contexts = [made.context() for _ in range(3)]
    started = [made.start(context, float(number)) for number, context in enumerate(contexts)]
    pollables = [pending.subscribe(made.guest, each) for each in started]
    await asyncio.sleep(0)
    assert [pending.get(made.guest, each) for each in started] == [None] * 3
    assert made.backend.most == 3
    made.backend.gate.set()
    while len(await wait_any(pollables)) < 3:
        await asyncio.sleep(0)
    assert [made.values(pending.get(made.guest, each)) for each in started] == [(1.0,), (2.0,), (3.0,)]
    assert pending.get(made.guest, started[0]) == Err(None), "once"
    assert made.guest.figures.inference_ns > 0
    for context in contexts:
        wit._drop_context(made.guest, context)
    assert made.session.memory_used == 0
    assert made.session.pending == 0


async def test_a_context_computes_one_thing_at_a_time() -> None:
    made = Made()
    context = made.context()
    first, second = made.start(context, 1.0), made.start(context, 2.0)
    await wait_any((second,))
    refused = pending.get(made.guest, second)
    assert isinstance(refused, Ok)
    assert isinstance(refused.value, Err)
    assert refused.value.value.code == "invalid-argument"
    assert "computing already" in refused.value.value.data
    third = await wit.compute(made.guest, context, [])
    assert isinstance(third, Err), "nor by the standard function"
    made.backend.gate.set()
    await wait_any((first,))
    assert made.values(pending.get(made.guest, first)) == (2.0,)


async def test_errors_are_told_by_get() -> None:
    made = Made()
    made.backend.error = ModelBusy("full", cause="its queue")
    made.backend.gate.set()
    failed = made.start(made.context(), 1.0)
    unknown = made.start(77, 1.0)
    wrong = pending.compute(made.guest, made.context(), [])
    codes = []
    for each in (failed, unknown, wrong):
        await wait_any((each,))
        answer = pending.get(made.guest, each)
        assert isinstance(answer, Ok)
        assert isinstance(answer.value, Err)
        codes.append(answer.value.value.code)
    assert codes == ["runtime-error", "invalid-argument", "invalid-argument"]


async def test_what_ends_the_guest_is_no_error_code() -> None:
    made = Made()
    made.backend.error = CpuBudgetSpent("spent")
    made.backend.gate.set()
    ended = made.start(made.context(), 1.0)
    await wait_any((ended,))
    with pytest.raises(CpuBudgetSpent):
        pending.get(made.guest, ended)


@pytest.mark.parametrize("done", [True, False])
async def test_what_is_dropped_leaves_nothing_behind(done: bool) -> None:
    made = Made()
    context = made.context()
    given_up = made.start(context, 1.0)
    await asyncio.sleep(0)
    if done:
        made.backend.gate.set()
        await wait_any((given_up,))
    pending._drop(made.guest, given_up)
    await asyncio.sleep(0.01)
    assert made.backend.running == 0
    wit._drop_context(made.guest, context)
    assert made.session.memory_used == 0
    assert made.session.pending == 0


async def test_a_guest_that_ends_meanwhile() -> None:
    made = Made()
    started = [made.start(made.context(), 1.0) for _ in range(3)]
    await asyncio.sleep(0)
    for each in started:
        each.abandon()
    made.session.close()
    await asyncio.sleep(0.01)
    assert made.backend.running == 0
    assert made.session.memory_used == 0


async def test_a_context_that_is_dropped_while_it_computes() -> None:
    made = Made()
    context = made.context()
    started = made.start(context, 1.0)
    await asyncio.sleep(0)
    wit._drop_context(made.guest, context)
    made.backend.gate.set()
    await wait_any((started,))
    answer = pending.get(made.guest, started)
    assert isinstance(answer, Ok)
    assert isinstance(answer.value, Err)
    assert made.session.memory_used == 0


def extended() -> Path:
    """The WIT packages with ours, and a world that has it."""
    wit = BUILT / "wit-together"
    if not wit.exists():
        part = BUILT / f"wit-together.{os.getpid()}"
        shutil.copytree(WIT, part)
        shutil.copy(Path(pending.__file__).with_name("wasmind-nn.wit"), part / "deps")
        world = "world together { include http-nn; import wasmind:nn/%async@0.1.0; }"
        (part / "together.wit").write_text(f"package wasmind:test;\n{world}\n")
        part.rename(wit)
    return wit


@pytest.mark.parametrize("form", ["fused", "linked"])
async def test_a_component_waits_for_computations_with_pollables(engine: Engine, form: Form) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    wasm = c("together", extended(), "together")
    component = Component.load(engine, build_now(wasm, CACHE, WORLD, form=form), WORLD)
    backend = Slow(onnx_models.plus_one())
    limits = Limits(cpu_ms=5_000)
    sent: list[bytes] = []
    response: Any = SimpleNamespace(start=lambda *_: None, body=lambda chunk, _more: sent.append(chunk))
    request = Request(method="GET", script_name="", path_info="/", target=b"/", query=b"", headers=[])
    session = Session(FixedModels(plus=Graph("plus", backend)), limits, "tenant")
    exchange = Exchange(
        Service(component), request, None, response, session, lambda _: None, print, Client(())
    )
    guest = component.guest(limits, exchange.host)
    running = asyncio.ensure_future(exchange.run(guest))
    try:
        async with asyncio.timeout(10):
            while backend.running < 2:
                await asyncio.sleep(0.001)
        backend.gate.set()
        await running
    finally:
        guest.close()
        component.close()
    answer = b"".join(sent)
    assert answer[:1] in (b"1", b"2")
    assert struct.unpack("<2f", answer[1:]) == (2.0, 3.0)
    assert session.memory_used == 0


async def test_a_flood() -> None:
    made = Made()
    context = made.context()
    for _ in range(pending.MOST):
        pending.compute(made.guest, context, [])
    with pytest.raises(LimitExceeded):
        pending.compute(made.guest, context, [])
    await asyncio.sleep(0.01)
    assert made.session.pending == 0
