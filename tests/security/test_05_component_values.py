"""Row 5, for components: whatever values, pointers and handles one passes to a host function, it may trap.

No mistake of ours is ever reached, and nothing outside its memory is touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import subprocess
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import onnx_models
from support.abi import FakeMemory
from support.backend import FixedModels, OnnxBackend
from support.components import tool
from support.toolchains import WIT
from wasmind.component import plan as plans
from wasmind.component.abi.handles import Handle
from wasmind.component.abi.layout import flatten, signature
from wasmind.component.bind import Binding
from wasmind.component.planner import plan_component
from wasmind.component.types import Borrow, Own
from wasmind.config import Limits
from wasmind.errors import WasmindError
from wasmind.guest_api.cgi.request import Request
from wasmind.guest_api.stdio import BytesSink, BytesSource
from wasmind.guest_api.wasi.p2.pollable import Always
from wasmind.guest_api.wasi.p2.streams import InputStream, IoError, OutputStream
from wasmind.guest_api.wasi.state import Wasi
from wasmind.guest_api.wasi_http import WORLD, Client
from wasmind.guest_api.wasi_http.bodies import FutureTrailers, IncomingBody, OutgoingBody
from wasmind.guest_api.wasi_http.client import Outgoing
from wasmind.guest_api.wasi_http.fields import Fields
from wasmind.guest_api.wasi_http.host import HttpHost
from wasmind.guest_api.wasi_http.messages import (
    FutureResponse,
    IncomingRequest,
    IncomingResponse,
    OutgoingRequest,
    OutgoingResponse,
    RequestOptions,
    ResponseOutparam,
)
from wasmind.guest_api.wasi_nn.wit import Failure
from wasmind.nn.graph import Graph
from wasmind.nn.session import Session
from wasmind.nn.tensor import TensorType
from wasmind.sandbox import HostFunction

SIZE = 4096
EDGES = [0, 1, 2, 3, 4, 7, 8, SIZE - 8, SIZE - 4, SIZE - 1, SIZE, 2**31 - 1, 2**31, 2**32 - 8, 2**32 - 1]


class Exited(Exception):
    """The guest ended itself."""


@cache
def plan() -> plans.Plan:
    """A component that imports everything there is."""
    command = [tool("wasm-tools"), "component", "embed", "--dummy", "--world", "everything", str(WIT)]
    core = subprocess.run(command, capture_output=True, check=True).stdout
    command = [tool("wasm-tools"), "component", "new", "-"]
    made = subprocess.run(command, input=core, capture_output=True, check=True).stdout
    return plan_component(made).plan


@cache
def binding() -> Binding:
    return Binding(plan(), WORLD)


@cache
def functions() -> dict[str, HostFunction]:
    return {str(each): each for interface in binding().interfaces for each in interface}


def body_of(message: OutgoingResponse | OutgoingRequest) -> OutgoingBody:
    body = message.body()
    assert isinstance(body, OutgoingBody)
    return body


def new_future(_guest: Guest) -> FutureResponse:
    return FutureResponse(asyncio.get_running_loop().create_future())


REQUEST = Request(method="GET", script_name="", path_info="/", target=b"/", query=b"", headers=[])
ONE_OF_EVERYTHING: list[tuple[str, Callable[[Guest], Any]]] = [
    ("error", lambda _: IoError("what happened")),
    ("pollable", lambda _: Always()),
    ("input-stream", lambda _: InputStream(BytesSource(b"hello"))),
    ("output-stream", lambda _: OutputStream(BytesSink())),
    ("fields", lambda _: Fields()),
    ("incoming-request", lambda _: IncomingRequest(REQUEST, BytesSource())),
    ("outgoing-request", lambda _: OutgoingRequest(Fields())),
    ("request-options", lambda _: RequestOptions()),
    ("response-outparam", lambda _: ResponseOutparam(lambda _: None)),
    ("incoming-response", lambda _: IncomingResponse(200, Fields(), BytesSource())),
    ("incoming-body", lambda _: IncomingBody(BytesSource(b"hello"))),
    ("future-trailers", lambda _: FutureTrailers(BytesSource())),
    ("outgoing-response", lambda _: OutgoingResponse(Fields())),
    ("outgoing-body", lambda _: body_of(OutgoingResponse(Fields()))),
    ("future-incoming-response", new_future),
    ("graph", lambda guest: guest.session.load_by_name("linear")),
    ("graph-execution-context", lambda guest: guest.context()),
    ("tensor", lambda guest: guest.session.new_tensor(TensorType.F32, (1, 4), bytes(16))),
    ("nn error", lambda _: Failure("unknown", "what happened")),
]


class Guest:
    """A guest that has one of everything, and memory full of small numbers and pointers."""

    def __init__(self, filling: bytes) -> None:
        self.memory = FakeMemory(bytearray((filling * SIZE)[:SIZE]))
        self.figures = SimpleNamespace(inference_ns=0)
        self.exit_code: int | None = None
        models = FixedModels(linear=Graph("linear", OnnxBackend(onnx_models.linear())))
        self.session = Session(models, Limits(), "tenant")
        wasi = Wasi(BytesSource(b"in"), BytesSink(), BytesSink(), (b"a",), lambda: (b"A=1",))
        self.host = HttpHost(wasi, self.session, lambda _: None, Outgoing(Client(("127.0.0.1:9",)), 32))
        self.host.contexts = binding().open(self)
        handles = self.host.contexts[0].handles
        for name, make in ONE_OF_EVERYTHING:
            place = next(at for at, each in enumerate(plan().resources) if label(each) == name)
            handles.add(Handle(binding()._offer.resources[place], make(self)))

    def context(self) -> int:
        graph = self.session.load_by_name("linear")
        assert isinstance(graph, int)
        return self.session.init_execution_context(graph)

    def memory_named(self, _name: str) -> FakeMemory:
        return self.memory

    def call_nested(self, _name: str, _old: int, _old_size: int, align: int, _size: int) -> int:
        return (SIZE // 2 + align - 1) & -align

    def exit(self, code: int) -> None:
        self.exit_code = code
        raise Exited

    async def call(self, function: HostFunction, values: list[Any]) -> None:
        """Call as core code would; what is waited for is given a moment."""
        try:
            answer = function.function(self, *values)
            if hasattr(answer, "__await__"):
                task = asyncio.ensure_future(answer)
                await asyncio.wait((task,), timeout=0.05)
                if not task.done():
                    task.cancel()
                    await asyncio.wait((task,))
                    return
                answer = task.result()()
        except (WasmindError, Exited):
            return
        results = answer if isinstance(answer, tuple) else () if answer is None else (answer,)
        assert len(results) == len(function.results)
        for result, scalar in zip(results, function.results, strict=True):
            struct.pack(f"<{scalar.code}", result)

    def close(self) -> None:
        assert len(self.memory.data) == SIZE
        self.host.close()
        assert self.session.memory_used == 0


NAMES = [name for name, _ in ONE_OF_EVERYTHING]


def likely(name: str) -> list[list[int]]:
    """For each core argument, values that lead on: a handle of the right type, a place in memory."""
    does = next(each.does for each in plan().imports if f"{each.module}.{each.name}" == name)
    count = len(functions()[name].parameters)
    found = [[1, 8, 64, 256, 1024] for _ in range(count)]
    if isinstance(does, plans.Lower) and count and not signature(does.type, "lower").params_in_memory:
        at = 0
        for field in does.type.params:
            if isinstance(field.type, Own | Borrow):
                found[at] = handles_of(field.type.resource.number)
            at += len(flatten((field.type,), 16))
    elif isinstance(does, plans.ResourceDrop):
        found[0] = handles_of(does.resource)
    return found


def handles_of(resource: int) -> list[int]:
    """The indices of the guest's handles of a resource type."""
    name = label(plan().resources[resource])
    return [at for at, each in enumerate(NAMES, 1) if each == name] or [1]


def label(resource: plans.Resource) -> str:
    return "nn error" if resource.interface.startswith("wasi:nn/errors") else resource.name


def core_value(code: str, leads_on: list[int]) -> st.SearchStrategy[Any]:
    if code in "fd":
        return st.floats(width=32 if code == "f" else 64)
    top = 2**32 - 1 if code == "I" else 2**64 - 1
    good = st.sampled_from(leads_on)
    return st.one_of(good, good, good, st.sampled_from(EDGES), st.integers(0, 24), st.integers(0, top))


def core_values(name: str) -> st.SearchStrategy[list[Any]]:
    scalars = functions()[name].parameters
    parts = [core_value(each.code, good) for each, good in zip(scalars, likely(name), strict=True)]
    return st.tuples(*parts).map(list)


words = st.one_of(st.integers(0, 24), st.sampled_from([64, 256, 1024, SIZE - 16, 2**32 - 1]))
fillings = st.lists(words, min_size=1, max_size=12).map(
    lambda values: struct.pack(f"<{len(values)}I", *values)
)


@pytest.mark.parametrize("name", sorted(functions()))
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_is_passed(name: str, data: st.DataObject) -> None:
    function = functions()[name]
    filling = data.draw(fillings)
    values = data.draw(core_values(name))

    async def run() -> None:
        guest = Guest(filling)
        for _ in range(2):  # once more with what the first call left
            await guest.call(function, values)
        guest.close()

    asyncio.run(run())


@pytest.mark.slow
@settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_sequence_of_calls(data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(sorted(functions())), min_size=1, max_size=30))
    filling = data.draw(fillings)
    steps = [(functions()[name], data.draw(core_values(name))) for name in chosen]

    async def run() -> None:
        guest = Guest(filling)
        with contextlib.suppress(Exited):
            for function, values in steps:
                await guest.call(function, values)
        guest.close()

    asyncio.run(run())
