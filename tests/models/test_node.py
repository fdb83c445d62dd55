from __future__ import annotations

import asyncio
import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from support.edges import function
from wasmind.errors import InvalidArgument, ModelLoadFailed, ModelNotFound, ModelUnavailable
from wasmind.models.loads import Loads, content_digest, store
from wasmind.models.node import NodeModels
from wasmind.models.served import ServedModel
from wasmind.nn.encoding import Encoding, Target
from wasmind.nn.graph import Graph
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.node.messages import FunctionEntry, LoadedModel, LoadModel, ModelEntry
from wasmind.node.words import Failure
from wasmind.telemetry.figures import EdgeFigures
from wasmind.telemetry.metrics import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

SIGNATURE = Signature((TensorSpec("x", TensorType.F32, (1,)),), (TensorSpec("y", TensorType.F32, (1,)),))
MODEL = ModelEntry(
    id="shared.linear.1",
    name="linear",
    scope="shared",
    digest="0",
    socket="/nowhere",
    state="ready",
    signature=SIGNATURE,
    deadline_ms=500.0,
    queue=10,
    shared_memory=1 << 20,
)


def changed(entry: ModelEntry = MODEL, **changes: Any) -> ModelEntry:
    return msgspec.structs.replace(entry, **changes)


def served_model(entry: ModelEntry) -> ServedModel:
    return ServedModel(entry, EdgeFigures(Registry(Path("/nowhere"))).model(entry.name, entry.scope))


def loads_in(directory: Path, ask: Callable[[LoadModel], object] = lambda _: None) -> Loads:
    return Loads(directory, ask, EdgeFigures(Registry(directory)))


def node_models(loads: Loads) -> NodeModels:
    return NodeModels(loads, EdgeFigures(Registry(Path("/nowhere"))))


def asks(**settings: Any) -> FunctionEntry:
    return function("f", "hello.wat", **settings)


class Supervisor:
    """The other end of the questions."""

    def __init__(self) -> None:
        self.asked: list[LoadModel] = []

    def __call__(self, message: LoadModel) -> None:
        self.asked.append(message)


# --- one model ----------------------------------------------------------------------------------------------


async def test_a_ready_model_is_a_graph_at_once() -> None:
    served = served_model(MODEL)
    graph = served.resolve()
    assert isinstance(graph, Graph)
    assert (graph.name, graph.signature, graph.deadline) == ("linear", SIGNATURE, 0.5)
    assert served.resolve() is graph, "one connection, whoever asks"
    await served.close()


async def test_a_model_that_loads_is_waited_for() -> None:
    served = served_model(changed(state="loading", signature=None))
    coming = [asyncio.ensure_future(waiting(served)) for _ in range(3)]
    await asyncio.sleep(0.02)
    assert not any(one.done() for one in coming)
    coming.pop().cancel()
    served.update(MODEL)
    assert {graph.name for graph in await asyncio.gather(*coming)} == {"linear"}
    await served.close()


async def waiting(served: ServedModel) -> Graph:
    found = served.resolve()
    return found if isinstance(found, Graph) else await found


async def test_a_model_that_fails_while_it_is_waited_for() -> None:
    served = served_model(changed(state="loading", signature=None))
    coming = asyncio.ensure_future(waiting(served))
    await asyncio.sleep(0.02)
    served.update(changed(state="failed", signature=None, reason="its file is damaged"))
    with pytest.raises(ModelUnavailable) as unavailable:
        await coming
    assert unavailable.value.cause == "its file is damaged"
    await served.close()


async def test_a_model_that_does_not_come_in_time() -> None:
    served = served_model(changed(state="loading", signature=None, deadline_ms=30.0))
    with pytest.raises(ModelUnavailable, match="loading"):
        await waiting(served)
    await served.close()


@pytest.mark.parametrize("state", ["quarantined", "failed", "stopped"])
async def test_a_model_that_was_given_up(state: str) -> None:
    served = served_model(MODEL)
    served.update(changed(state=state, reason="it died too often"))
    with pytest.raises(ModelUnavailable, match=state) as unavailable:
        served.resolve()
    assert unavailable.value.cause == "it died too often"
    assert unavailable.value.retry_after
    served.update(changed(incarnation=2))
    assert isinstance(served.resolve(), Graph), "a reload has mended it"
    await served.close()


async def test_a_model_that_restarts_is_given_unless_it_is_to_fail() -> None:
    patient, hasty = served_model(MODEL), served_model(changed(when_down="fail"))
    for served in (patient, hasty):
        served.update(changed(served.entry, state="restarting", reason="killed"))
    assert isinstance(patient.resolve(), Graph), "its inferences wait"
    with pytest.raises(ModelUnavailable, match="restarting"):
        hasty.resolve()
    for served in (patient, hasty):
        await served.close()


# --- what a function may name -------------------------------------------------------------------------------


async def test_a_function_names_what_it_was_granted_by_its_own_names(tmp_path: Path) -> None:
    models = node_models(loads_in(tmp_path))
    other = changed(id="shared.other.1", name="other")
    models.apply([MODEL, other])
    granted = models.granted(asks(grants={"mine": MODEL.id}))
    graph = granted.resolve("mine")
    assert isinstance(graph, Graph)
    assert graph.name == "linear"
    for name in ("linear", "other", "shared.linear.1", "", "../mine", "mine\0"):
        with pytest.raises(ModelNotFound) as missing:
            granted.resolve(name)
        assert str(missing.value) == "no such model"
        assert "other" not in (missing.value.cause or ""), "what exists for others is not told"
    await models.close()


async def test_models_are_shared_by_functions_and_kept_over_reloads(tmp_path: Path) -> None:
    models = node_models(loads_in(tmp_path))
    models.apply([MODEL])
    one = models.granted(asks(grants={"a": MODEL.id}))
    two = models.granted(asks(grants={"b": MODEL.id}))
    assert one.resolve("a") is two.resolve("b")
    assert not one.same(two)
    models.apply([changed(reason="still")])
    models.keep(set())
    three = models.granted(asks(grants={"a": MODEL.id}))
    assert one.same(three)
    assert one.resolve("a") is three.resolve("a")
    await models.close()


async def test_a_model_that_left_serves_those_that_still_use_it(tmp_path: Path) -> None:
    models = node_models(loads_in(tmp_path))
    models.apply([MODEL])
    old = models.granted(asks(grants={"a": MODEL.id}))
    models.apply([])
    models.keep(set(old.served))
    assert isinstance(old.resolve("a"), Graph)
    models.update(changed(state="restarting", reason="killed", incarnation=1))
    (served,) = old.served
    assert served.entry.state == "restarting", "it still hears"
    models.keep(set())
    await asyncio.sleep(0.01)
    models.update(changed(incarnation=2))
    assert served.entry.state == "restarting", "it was let go"
    await models.close()


# --- models from bytes --------------------------------------------------------------------------------------


async def loading(loads: Loads, *builders: bytes, tenant: str = "default") -> ServedModel:
    return await loads.load(asks(tenant=tenant), builders, Encoding.ONNX, Target.CPU)


async def asked(supervisor: Supervisor, count: int) -> None:
    async with asyncio.timeout(5):
        while len(supervisor.asked) < count:
            await asyncio.sleep(0.005)


async def test_the_same_bytes_are_loaded_once_for_all_who_bring_them(tmp_path: Path) -> None:
    supervisor = Supervisor()
    loads = loads_in(tmp_path, supervisor)
    requests = [asyncio.create_task(loading(loads, b"model")) for _ in range(5)]
    await asked(supervisor, 1)
    requests.pop().cancel()
    await asyncio.sleep(0.05)
    (question,) = supervisor.asked
    assert (question.tenant, question.encoding, question.target) == ("default", "onnx", "cpu")
    assert question.digest == hashlib.sha256(b"model").hexdigest()
    with open(question.path, "rb") as file:
        assert file.read() == b"model"
    loads.answered(LoadedModel(request=question.request, model=MODEL))
    assert len(set(await asyncio.gather(*requests))) == 1
    assert (await loading(loads, b"model")).entry is MODEL
    assert len(supervisor.asked) == 1
    await loads.close()


async def test_other_bytes_and_other_tenants_are_other_models(tmp_path: Path) -> None:
    supervisor = Supervisor()
    loads = loads_in(tmp_path, supervisor)
    requests = [
        asyncio.create_task(loading(loads, b"model")),
        asyncio.create_task(loading(loads, b"other")),
        asyncio.create_task(loading(loads, b"model", tenant="another")),
    ]
    await asked(supervisor, 3)
    for question in supervisor.asked:
        loads.answered(LoadedModel(request=question.request, model=changed(id=str(question.request))))
    assert len({served.entry.id for served in await asyncio.gather(*requests)}) == 3
    await loads.close()


async def test_a_refusal_is_told_and_for_a_while_not_asked_again(tmp_path: Path) -> None:
    supervisor = Supervisor()
    loads = loads_in(tmp_path, supervisor)
    request = asyncio.create_task(loading(loads, b"model"))
    await asked(supervisor, 1)
    failure = Failure(code="model-load-failed", message="it is damaged", cause="at byte 3")
    loads.answered(LoadedModel(request=supervisor.asked[0].request, failure=failure))
    with pytest.raises(ModelLoadFailed, match="damaged"):
        await request
    with pytest.raises(ModelLoadFailed) as again:
        await loading(loads, b"model")
    assert again.value.cause == "at byte 3"
    assert len(supervisor.asked) == 1
    await loads.close()


async def test_a_model_that_was_stopped_is_asked_for_anew(tmp_path: Path) -> None:
    supervisor = Supervisor()
    loads = loads_in(tmp_path, supervisor)
    models = node_models(loads)
    for count in (1, 2):
        request = asyncio.create_task(loading(loads, b"model"))
        await asked(supervisor, count)
        loads.answered(LoadedModel(request=supervisor.asked[-1].request, model=MODEL))
        await request
        models.update(changed(state="stopped", reason="unused"))
    await models.close()


async def test_too_many_builders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument):
        await loading(loads_in(tmp_path), b"a", b"b")


async def test_an_answer_to_nobody_is_passed_over(tmp_path: Path) -> None:
    loads_in(tmp_path).answered(LoadedModel(request=7, model=MODEL))


def test_digests_tell_where_one_builder_ends() -> None:
    assert content_digest((b"ab", b"c")) != content_digest((b"a", b"bc"))
    assert content_digest((b"abc",)) == hashlib.sha256(b"abc").hexdigest()


def test_files_are_stored_once_and_are_the_owners(tmp_path: Path) -> None:
    path = store(tmp_path / "uploads", "d1", ("model.xml", "model.bin"), (b"<xml>", b"weights"))
    assert path.read_bytes() == b"<xml>"
    assert (path.parent / "model.bin").read_bytes() == b"weights"
    assert (tmp_path / "uploads").stat().st_mode & 0o777 == 0o700
    before = path.stat().st_mtime_ns
    time.sleep(0.01)
    assert store(tmp_path / "uploads", "d1", ("model.xml",), (b"<xml>",)) == path
    assert path.stat().st_mtime_ns == before
    assert [entry.name for entry in (tmp_path / "uploads").iterdir()] == ["d1"]


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        store(tmp_path / "file", "d1", ("model.onnx",), (b"x",))
