"""wasi:nn through a component and a real framework; and function by function."""

from __future__ import annotations

import asyncio
import struct
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from support import onnx_models
from support.backend import FixedModels, OnnxBackend
from support.components import CACHE
from support.toolchains import WIT, c
from wasmind.component.abi.values import Err
from wasmind.component.build import build_now
from wasmind.component.component import Component
from wasmind.config import Limits, Size
from wasmind.errors import (
    CpuBudgetSpent,
    InferenceTimeout,
    InvalidTensor,
    ModelBusy,
    ModelDied,
    NnCode,
    TooLarge,
    UnsupportedOperation,
    WasmindError,
)
from wasmind.guest_api.cgi import Request
from wasmind.guest_api.wasi_http import WORLD, Client, Exchange, Service
from wasmind.guest_api.wasi_nn import wit
from wasmind.nn.encoding import Encoding, Target
from wasmind.nn.graph import Graph
from wasmind.nn.session import Session
from wasmind.nn.tensor import TensorType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wasmind.sandbox import Engine

CODES = wit._CODE.names


@cache
def linear() -> bytes:
    """y = 2x + 1 for f32 [N]."""
    return onnx_models.model(
        [
            onnx_models.node("Mul", ["x", "two"], ["twice"]),
            onnx_models.node("Add", ["twice", "one"], ["y"]),
        ],
        [("x", onnx_models.FLOAT, ["N"])],
        [("y", onnx_models.FLOAT, ["N"])],
        [
            onnx_models.constant("two", onnx_models.FLOAT, [1], [2.0]),
            onnx_models.constant("one", onnx_models.FLOAT, [1], [1.0]),
        ],
    )


@pytest.fixture
def models() -> FixedModels:
    return FixedModels(
        linear=Graph("linear", OnnxBackend(linear())),
        add=Graph("add", OnnxBackend(onnx_models.add())),
    )


@pytest.fixture(scope="module")
def component(engine: Engine) -> Iterator[Component]:
    CACHE.mkdir(parents=True, exist_ok=True)
    made = Component.load(engine, build_now(c("think", WIT, "http-nn"), CACHE, WORLD), WORLD)
    yield made
    made.close()


class Answer:
    def __init__(self) -> None:
        self.status, self.data = 0, b""

    def start(self, status: int, _headers: Any) -> None:
        self.status = status

    async def body(self, chunk: bytes, _more: bool) -> None:
        self.data += chunk


async def ask(
    component: Component, models: FixedModels, target: str, data: bytes, **limits: Any
) -> tuple[int, bytes, bytes]:
    """Status, first word and rest of what the component answers."""
    parts = [data]

    async def receive() -> bytes:
        return parts.pop() if parts else b""

    answer, chosen = Answer(), Limits(cpu_ms=10_000, **limits)
    session = Session(models, chosen, "tenant")
    request = Request(
        method="POST",
        script_name="",
        path_info=target,
        target=target.encode(),
        query=b"",
        headers=[(b"content-length", b"%d" % len(data))],
    )
    exchange = Exchange(
        Service(component), request, receive, answer, session, lambda _: None, lambda _: None, Client(())
    )
    guest = component.guest(chosen, exchange.host)
    try:
        await exchange.run(guest)
    finally:
        guest.close()
    assert session.memory_used == 0
    first, _, rest = answer.data.partition(b" ")
    return answer.status, first, rest


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


# --- a component that thinks --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x", "0"])
async def test_a_named_model_by_its_inputs_name_or_index(
    component: Component, models: FixedModels, name: str
) -> None:
    status, output, data = await ask(component, models, f"/linear?{name}", floats(1, 2, 3))
    assert (status, output, data) == (200, b"y", floats(3, 5, 7))
    backend: Any = models.graphs["linear"].backend
    assert backend.held == 0
    assert backend.tenants == ["tenant"]


async def test_while_the_model_is_waited_for(component: Component, models: FixedModels) -> None:
    models.wait = True
    answers = await asyncio.gather(*(ask(component, models, "/linear?x", floats(n)) for n in range(20)))
    assert [data for _, _, data in answers] == [floats(2 * n + 1) for n in range(20)]


@pytest.mark.parametrize("name", ["nothing", "../linear", "LINEAR", "linear%00"])
async def test_a_model_that_is_not_there(component: Component, models: FixedModels, name: str) -> None:
    status, code, words = await ask(component, models, f"/{name}?x", floats(1))
    assert (status, CODES[int(code)]) == (500, "not-found")
    assert words.startswith(b"no such model")


@pytest.mark.parametrize(
    ("target", "data", "words"),
    [
        ("/linear?z", floats(1), b'has no input "z"'),
        ("/linear?1", floats(1), b'has no input "1"'),
        ("/linear?", floats(1), b"has no input"),
        ("/linear?x", b"\0\0\0\0\0", b"f32 [1]"),
        ("/add?x", floats(1), b"f32 [N,3]"),
    ],
)
async def test_inputs_that_do_not_fit(
    component: Component, models: FixedModels, target: str, data: bytes, words: bytes
) -> None:
    status, code, text = await ask(component, models, target, data)
    assert (status, CODES[int(code)]) == (500, "invalid-argument")
    assert words in text


async def test_loading_bytes_by_policy(component: Component, models: FixedModels) -> None:
    status, code, words = await ask(component, models, "/!6?x", linear())
    assert (status, CODES[int(code)]) == (500, "unsupported-operation")
    assert b"allow_load" in words
    models.allow_load = True
    status, code, words = await ask(component, models, "/!3?x", linear())
    assert CODES[int(code)] == "invalid-encoding"
    status, code, words = await ask(component, models, "/!1?x", linear(), load_size=Size(10))
    assert CODES[int(code)] == "too-large"
    status, _, words = await ask(component, models, "/!1?z", linear())
    assert b'has no input "z"' in words


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InferenceTimeout("too slow"), "timeout"),
        (ModelBusy("full"), "runtime-error"),
        (ModelDied("killed", cause="by a signal"), "runtime-error"),
    ],
)
async def test_a_backend_that_fails(
    component: Component, models: FixedModels, monkeypatch: pytest.MonkeyPatch, error: WasmindError, code: str
) -> None:
    async def fails(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(models.graphs["linear"].backend, "infer", fails)
    status, found, words = await ask(component, models, "/linear?x", floats(1))
    assert (status, CODES[int(found)]) == (500, code)
    assert words.decode() == error.explain()


async def test_the_guests_own_budget_is_no_error_code(
    component: Component, models: FixedModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: Any) -> Any:
        raise CpuBudgetSpent("the guest's own")

    monkeypatch.setattr(models.graphs["linear"].backend, "infer", fails)
    with pytest.raises(CpuBudgetSpent):
        await ask(component, models, "/linear?x", floats(1))


async def test_a_tensor_over_the_limit_ends_the_guest(component: Component, models: FixedModels) -> None:
    with pytest.raises(TooLarge):
        await ask(component, models, "/linear?x", bytes(100_000), nn_memory=Size(50_000))


# --- function by function -----------------------------------------------------------------------------------


def guest(models: FixedModels, **limits: Any) -> Any:
    session = Session(models, Limits(**limits), "tenant")
    host = SimpleNamespace(nn=session, about_to_wait=lambda: None)
    return SimpleNamespace(host=host, figures=SimpleNamespace(inference_ns=0))


def tensor(made: Any, *values: float) -> int:
    return wit.new_tensor(made, [1, len(values)], "FP32", floats(*values))


async def test_a_tensor_is_what_it_was_made_of(models: FixedModels) -> None:
    made = guest(models)
    handle = wit.new_tensor(made, [2, 3], "U8", b"abcdef")
    assert wit.dimensions(made, handle) == (2, 3)
    assert wit.ty(made, handle) == "U8"
    assert wit.data_of_tensor(made, handle) == b"abcdef"
    assert made.host.nn.memory_used > 6
    wit._drop_tensor(made, handle)
    assert made.host.nn.memory_used == 0


def test_a_tensor_that_does_not_fit_itself_is_refused_when_it_is_computed_with(models: FixedModels) -> None:
    made = guest(models)
    handle = wit.new_tensor(made, [1000, 1000], "FP64", b"x")
    assert wit.dimensions(made, handle) == (1000, 1000)


def test_a_rank_that_nothing_has(models: FixedModels) -> None:
    with pytest.raises(InvalidTensor):
        wit.new_tensor(guest(models), [1] * 33, "U8", b"x")


def test_a_flood_of_tensors(models: FixedModels) -> None:
    made = guest(models, nn_memory=Size(10_000))

    def flood() -> None:
        for _ in range(1000):
            wit.new_tensor(made, [], "U8", b"x")

    with pytest.raises(TooLarge):
        flood()
    made.host.nn.close()
    assert made.host.nn.memory_used == 0


async def test_inputs_are_given_away_and_outputs_are_given(models: FixedModels) -> None:
    made = guest(models)
    graph = wit.load_by_name(made, "add")
    context = wit.init_execution_context(made, graph)
    inputs = [("y", tensor(made, 1, 2, 3)), ("0", tensor(made, 10, 20, 30))]
    outputs = await wit.compute(made, context, inputs)
    assert [name for name, _ in outputs] == ["z", "w"]
    assert [wit.data_of_tensor(made, handle) for _, handle in outputs] == [
        floats(11, 22, 33),
        floats(10, 40, 90),
    ]
    assert made.figures.inference_ns > 0
    for _, handle in inputs:
        with pytest.raises(WasmindError):
            wit.dimensions(made, handle)
    failed = await wit.compute(made, context, [("x", tensor(made, 1, 2, 3))])
    assert isinstance(failed, Err)
    assert "without input 1" in failed.value.data
    for _, handle in outputs:
        wit._drop_tensor(made, handle)
    wit._drop_context(made, context)
    wit._drop_graph(made, graph)
    assert made.host.nn.memory_used == 0


async def test_an_answer_that_nobody_waits_for_is_closed(models: FixedModels) -> None:
    made = guest(models)
    context = wit.init_execution_context(made, wit.load_by_name(made, "add"))
    wit.compute(made, context, []).close()  # type: ignore[attr-defined]  # it can be


async def test_the_same_input_twice(models: FixedModels) -> None:
    made = guest(models)
    context = wit.init_execution_context(made, wit.load_by_name(made, "add"))
    failed = await wit.compute(made, context, [("x", tensor(made, 1, 2, 3)), ("0", tensor(made, 1, 2, 3))])
    assert failed.value.code == "invalid-argument"
    assert "twice" in failed.value.data


def test_too_many_graphs(models: FixedModels) -> None:
    made = guest(models, nn_contexts=2)
    for _ in range(2):
        wit.load_by_name(made, "linear")
    assert wit.load_by_name(made, "linear").value.code == "too-large"  # type: ignore[union-attr]  # an error


def test_errors_tell_a_code_and_words() -> None:
    error = wit.failure(ModelDied("it died", cause="by a signal", remedy="look")).value
    assert wit.code(None, error) == "runtime-error"  # type: ignore[arg-type]  # needs no guest
    assert wit.data_of_error(None, error) == "it died. Cause: by a signal. Remedy: look."  # type: ignore[arg-type]


@pytest.mark.parametrize("code", NnCode)
def test_every_code_of_ours_is_one_of_wits(code: NnCode) -> None:
    class Failing(UnsupportedOperation):
        nn_code = code

    assert wit.failure(Failing("x")).value.code in CODES


def test_all_nine_codes_have_a_meaning_here() -> None:
    assert {wit.CODES.get(each, each.value) for each in NnCode} == set(CODES)


def test_the_names_of_types_encodings_and_targets_are_wits() -> None:
    assert wit._TYPE.names == ("FP16", "FP32", "FP64", "BF16", "U8", "I32", "I64")
    assert [Encoding(name) for name in wit._ENCODING.names][-1] is Encoding.AUTODETECT
    assert [Target(name) for name in wit._TARGET.names] == [Target.CPU, Target.GPU, Target.TPU]


@pytest.mark.parametrize("kind", TensorType)
def test_outputs_of_every_type_have_a_name(models: FixedModels, kind: TensorType) -> None:
    made = guest(models)
    handle = made.host.nn.new_tensor(kind, (1,), bytes(kind.size))
    name = wit.ty(made, handle)
    assert wit.TYPES[name].size == kind.size
    if kind in wit.TYPES.values():
        assert wit.TYPES[name] is kind
