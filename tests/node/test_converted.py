"""Models on servers elsewhere with conversions here: in the supervisor, and through whole nodes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import asynccontextmanager
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import structlog

from support.commands import wasmind
from support.images import encoded, picture
from support.nodes import CONFIG, NodeProcess, alive, running
from support.oip_server import OipServer, oip_server
from support.onnx_models import FLOAT, model, node
from wasmind import config
from wasmind.catalog.digests import Digests
from wasmind.catalog.model import read_model
from wasmind.errors import ConfigError, ModelLoadFailed, UnsupportedOperation
from wasmind.models.served import ServedModel
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import Tensor, TensorType
from wasmind.node.converters import converter
from wasmind.node.fleet import Fleet
from wasmind.node.messages import ModelState, decode_to_edge, encode
from wasmind.node.plan import RemoteSpec, plan_model
from wasmind.telemetry.figures import EdgeFigures
from wasmind.telemetry.metrics import Registry
from wasmind.worker.spec import WorkerSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from wasmind.node.converted import ConvertedModel
    from wasmind.node.messages import ModelEntry
    from wasmind.node.plan import ModelPlan

CAST = {"inputs": {"x": ["add_batch", {"cast": "u8"}]}, "outputs": {"y": ["drop_batch", {"cast": "f64"}]}}


def plan(url: str, declared: dict[str, Any] = CAST, **more: Any) -> ModelPlan:
    tables = {what: {k: {"convert": v} for k, v in table.items()} for what, table in declared.items()}
    settings = {"kserve": {"url": url, "model": "linear"}, **tables, **more}
    found = config.parse({"models": {"m": settings}}, Path("/")).models["m"]
    return plan_model(read_model("m", found, Digests()))


class Watched:
    """A model of a fleet, and an edge worker's view of it."""

    def __init__(self, what: ModelPlan, directory: Path) -> None:
        self.told: list[ModelEntry] = []
        self.served: ServedModel | None = None
        self.fleet = Fleet(directory, lambda changed: self._hear(changed.entry), structlog.get_logger())
        (started,) = self.fleet.start([what])
        self.model: ConvertedModel = started  # type: ignore[assignment]  # it has conversions
        meter = EdgeFigures(Registry(directory / "metrics")).model("m", "shared")
        self.served = ServedModel(self.model.entry, meter)

    def _hear(self, entry: ModelEntry) -> None:
        decoded = decode_to_edge(encode(ModelState(model=entry))[4:])
        assert isinstance(decoded, ModelState)
        self.told.append(decoded.model)
        if self.served is not None:
            self.served.update(decoded.model)

    async def until(self, holds: Callable[[ConvertedModel], object]) -> None:
        async with asyncio.timeout(20):
            while not holds(self.model):
                await asyncio.sleep(0.02)

    async def infer(self, *values: int) -> list[float]:
        assert self.served is not None
        graph = await self.served.ready()
        deadline = asyncio.get_running_loop().time() + 20
        given = Tensor(TensorType.U8, (len(values),), bytes(values))
        outputs = await graph.backend.infer((given,), deadline, "t")
        try:
            return memoryview(bytes(outputs.tensors[0].data)).cast("d").tolist()
        finally:
            outputs.release()


@asynccontextmanager
async def watched(what: ModelPlan, directory: Path) -> AsyncIterator[Watched]:
    found = Watched(what, directory)
    try:
        await found.model.settled()
        yield found
    finally:
        assert found.served is not None
        await found.served.close()
        await found.fleet.close()


# --- in the supervisor --------------------------------------------------------------------------------------


async def test_its_processes_and_its_servers_are_one_model(tmp_path: Path) -> None:
    with oip_server() as server:
        async with watched(plan(server.url), tmp_path) as found:
            assert found.model.entry.state == "ready"
            assert found.model.entry.signature == Signature(
                (TensorSpec("x", TensorType.U8, (4,)),), (TensorSpec("y", TensorType.F64, (4,)),)
            )
            assert await found.infer(1, 2, 3, 4) == [3, 5, 7, 9]
            status = found.model.status(("f",))
            assert (status.state, status.runtime, status.servers) == ("ready", "kserve", (server.url,))
            assert [one.side for one in status.converters] == ["inputs", "outputs"]
            assert all(one.state == "ready" and one.pid for one in status.converters)
            assert status.memory == sum(one.memory or 0 for one in status.converters)
            assert found.fleet.residency.used > 20 << 20, "they count among the node's models"
            pids = [one.pid for one in status.converters]
            with pytest.raises(UnsupportedOperation):
                await found.model.unload("somebody wants it")
    assert found.model.stopped
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid or 0, 0)
    assert not list(tmp_path.glob("m*")), "no sockets stay"


@pytest.mark.parametrize("side", ["inputs", "outputs"])
async def test_a_process_that_dies_is_started_again_and_inferences_wait(tmp_path: Path, side: str) -> None:
    with oip_server() as server:
        async with watched(plan(server.url), tmp_path) as found:
            assert await found.infer(1, 2, 3, 4) == [3, 5, 7, 9]
            status = {one.side: one for one in found.model.status(()).converters}
            os.kill(status[side].pid or 0, signal.SIGKILL)  # type: ignore[index]  # a side
            await found.until(lambda model: model.entry.state == "restarting")
            assert f"m@{side}: killed by signal 9" in (found.model.entry.reason or "")
            assert found.model.failure is not None
            assert await found.infer(5, 6, 7, 8) == [11, 13, 15, 17]
            await found.until(lambda model: model.entry.state == "ready")
            assert found.model.status(()).restarts == 1
            assert found.model.failure is None


async def test_servers_that_come_later(tmp_path: Path) -> None:
    with oip_server() as server:
        port = server.port
    async with watched(plan(f"http://127.0.0.1:{port}"), tmp_path) as found:
        assert (found.model.entry.state, found.model.entry.signature) == ("away", None)
        assert "cannot reach" in (found.model.entry.reason or "")
        coming = asyncio.ensure_future(found.infer(1, 2, 3, 4))
        late = OipServer(port=port)
        try:
            assert await coming == [3, 5, 7, 9]
        finally:
            late.stop()


async def test_a_declaration_that_does_not_fit_is_explained_and_tried_again(tmp_path: Path) -> None:
    with oip_server() as server:
        async with watched(plan(server.url, {"outputs": {"z": ["softmax"]}}), tmp_path) as found:
            assert found.model.entry.state == "failed"
            assert "has no such output" in (found.model.entry.reason or "")
            assert found.model.entry.retry_at is not None
            assert found.model.failure is not None


async def test_servers_that_change_their_model(tmp_path: Path) -> None:
    with oip_server() as server:
        async with watched(plan(server.url, {"outputs": {"y": [{"cast": "f64"}]}}), tmp_path) as found:
            remote = found.model._remote
            first = found.model.entry.signature
            other = Signature(floats("x", (1, 4)), floats("y", (1, 5)))
            remote._become("ready", None, signature=other)
            assert found.model.entry.state == "loading"
            await found.until(lambda model: model.entry.state == "ready")
            now = found.model.entry.signature
            assert now is not None
            assert now != first
            assert now.outputs[0] == TensorSpec("y", TensorType.F64, (1, 5))


def floats(name: str, dims: tuple[int, ...]) -> tuple[TensorSpec, ...]:
    return (TensorSpec(name, TensorType.F32, dims),)


@pytest.mark.parametrize(
    ("steps", "dims", "told"),
    [(["image"], None, 1), (["add_batch"], None, 1), ([{"cast": "u8"}], None, None), (["image"], 5, None)],
)
def test_one_item_in_is_one_row_out(steps: list[Any], dims: int | None, told: int | None) -> None:
    """As for a model here, whose symbol for the batch says so."""
    remote = plan("http://h", {"inputs": {"x": steps}, "outputs": {"y": ["top_k"]}})
    served = Signature(
        (TensorSpec("x", TensorType.F32, (dims, 3)),),
        (TensorSpec("y", TensorType.F32, (None, 9)), TensorSpec("z", TensorType.F32, (None, 9))),
    )
    assert isinstance(remote.spec, RemoteSpec)
    inputs, outputs = (converter(remote, one, served).spec for one in remote.spec.converters)
    assert isinstance(inputs, WorkerSpec)
    assert isinstance(outputs, WorkerSpec)
    assert inputs.declared == served
    assert outputs.declared is not None
    assert [one.dims for one in outputs.declared.outputs] == [(told, 9), (None, 9)]


def test_other_settings_are_other_processes() -> None:
    assert plan("http://h").id == plan("http://h").id
    assert plan("http://h").id != plan("http://h", instances=2).id
    assert plan("http://h", {}).id == plan("http://h", {}, instances=2).id, "there are none"


def test_a_tokenizer_s_content_is_part_of_the_version(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    declared = {"inputs": {"text": [{"text": {"tokenizer": str(path)}}]}}
    before, plain = plan("http://h", declared), plan("http://h", {})
    assert isinstance(before.spec, RemoteSpec)
    assert [file.path for file in before.spec.converters[0].files] == [str(path)]
    path.write_text("{ }")
    after = plan("http://h", declared)
    assert len({before.digest, after.digest, plain.digest}) == 3
    assert len({before.id, after.id, plain.id}) == 3


# --- whole nodes --------------------------------------------------------------------------------------------

NODE = """
[node]
workers = 1
dev = true
ports = { functions = 0, api = 0, oip_rest = 0, oip_grpc = 0 }
drain_ms = 5000
"""
SERVER = f"""{NODE}
[models.linear]
path = "linear.onnx"

[models.colours]
path = "colours.onnx"
"""
FRONT = (
    NODE
    + """
[models.linear]
kserve = { url = "REST", model = "linear" }
inputs.x.convert = [{ normalize = { mean = 1.0, divide_by = 2.0 } }]
outputs.y.convert = ["softmax"]
MORE

[models.streamed]
kserve = { url = "GRPC", model = "linear", protocol = "grpc" }
inputs.x.convert = [{ normalize = { mean = 1.0, divide_by = 2.0 } }]
outputs.y.convert = ["softmax"]

[models.photos]
kserve = { url = "REST", model = "colours" }
labels = "labels.txt"
inputs.x.convert = [{ image = { size = [64, 64] } }]
outputs.y.convert = ["softmax", { top_k = { k = 2 } }]

"""
    + CONFIG[CONFIG.index("[functions.http]") :].replace('["linear"]', '["linear", "streamed"]')
)
RAISED = [exp(value) for value in (0, 1, 2, 3)]
"""2 * (x / 2 - 1) + 1 is x - 1."""
ANSWER = " ".join(f"{value / sum(RAISED):g}" for value in RAISED)


def colours() -> bytes:
    """The mean of each channel."""
    return model(
        [node("GlobalAveragePool", ["x"], ["mean"]), node("Flatten", ["mean"], ["y"])],
        [("x", FLOAT, ["N", 3, 64, 64])],
        [("y", FLOAT, ["N", 3])],
    )


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """The node that has the models."""
    directory = tmp_path_factory.mktemp("elsewhere")
    (directory / "colours.onnx").write_bytes(colours())
    with running(directory, SERVER) as node:
        yield node


def front(elsewhere: NodeProcess, directory: Path, more: str = "") -> str:
    (directory / "labels.txt").write_text("red\ngreen\nblue\n")
    status = elsewhere.status()
    found = {"REST": status.inference_url, "GRPC": f"http://{status.inference_grpc}", "MORE": more}
    text = FRONT
    for word, value in found.items():
        text = text.replace(word, value or "")
    return text


def photo_by_port(node: NodeProcess, data: bytes) -> httpx.Response:
    given = {
        "name": "x",
        "datatype": "UINT8",
        "shape": [len(data)],
        "parameters": {"binary_data_size": len(data)},
    }
    wanted = {"name": "y", "parameters": {"binary_data": True}}
    head = json.dumps({"inputs": [given], "outputs": [wanted]}).encode()
    return httpx.post(
        f"{node.status().inference_url}/v2/models/photos/infer",
        content=head + data,
        headers={"Inference-Header-Content-Length": str(len(head))},
    )


def numbers(text: str) -> list[float]:
    return [float(word) for word in text.split()]


def test_another_node_s_models_with_conversions_here(elsewhere: NodeProcess, tmp_path: Path) -> None:
    with running(tmp_path, front(elsewhere, tmp_path)) as node:
        for name in ("linear", "streamed"):
            node.until(lambda name=name: node.model(name).state == "ready")
            found = node.get(f"/ask/{name}")
            assert found.status == 200, found.text
            assert numbers(found.text) == pytest.approx(numbers(ANSWER), rel=1e-4)
        node.until(lambda: node.model("photos").state == "ready")
        answer = photo_by_port(node, encoded(picture(400, 300), "PNG"))
        assert answer.status_code == 200, answer.text
        body = answer.content[int(answer.headers["Inference-Header-Content-Length"]) :]
        assert [one["label"] in ("red", "green", "blue") for one in json.loads(body)] == [True, True]
        refused = photo_by_port(node, b"no photo")
        assert refused.status_code == 400
        assert "no JPEG, PNG or WebP image" in refused.text
        card = node.api("/api/v1/models/photos").json()
        assert [one["side"] for one in card["converters"]] == ["inputs", "outputs"]
        pids = [one.pid for one in node.model("photos").converters]
        shown = wasmind("models", "show", "photos", cwd=tmp_path).out
        assert "converted: image: size 64 64" in shown
        assert f"inputs converted here: ready, process {pids[0]}" in shown
        tried = wasmind("models", "test", "photos", cwd=tmp_path)
        assert '"label":"' in tried.out, tried.err
        assert str(pids[0]) in wasmind("status", cwd=tmp_path).out


@pytest.mark.slow
def test_it_leaves_with_its_processes(elsewhere: NodeProcess, tmp_path: Path) -> None:
    with running(tmp_path, front(elsewhere, tmp_path)) as node:
        node.until(lambda: node.model("photos").state == "ready")
        pids = [one.pid or 0 for one in node.model("photos").converters]
        before = node.model("photos").digest
        node.reconfigure("k = 2", "k = 3")
        node.reload()
        node.until(lambda: not any(map(alive, pids)))
        assert (node.model("photos").state, node.model("photos").digest != before) == ("ready", True)
        node.reconfigure('["softmax", { top_k = { k = 3 } }]', '["softmax", "pool"]')
        with pytest.raises(ConfigError):
            node.reload()
        node.reconfigure('["softmax", "pool"]', '[{ layout = "NHWC" }]')
        with pytest.raises(ModelLoadFailed, match="layout"):
            node.reload()
        assert photo_by_port(node, encoded(picture(9, 9), "JPEG")).status_code == 200


SMALL = """
[models.small]
path = "linear.onnx"
inputs.x.convert = [{ normalize = { mean = 1.0, divide_by = 2.0 } }]
outputs.y.convert = ["softmax"]
"""


@pytest.mark.slow
def test_stand_ins_and_both_places(elsewhere: NodeProcess, tmp_path: Path) -> None:
    text = front(elsewhere, tmp_path, 'stand_in = { model = "small" }').replace(
        elsewhere.status().inference_url or "-", "http://127.0.0.1:1"
    )
    both = '[models.streamed]\npath = "linear.onnx"\nprefer = "remote"\n'
    text = text.replace("[models.streamed]\n", both)
    with running(tmp_path, text + SMALL) as node:
        assert node.model().state == "away"
        found = node.get("/ask/linear")
        assert 'stand-in;desc="linear by small"' in found.headers["server-timing"]
        assert numbers(found.text) == pytest.approx(numbers(ANSWER), rel=1e-4)
        there = node.model("streamed@remote")
        assert (there.state, [one.side for one in there.converters]) == ("ready", ["inputs", "outputs"])
        assert numbers(node.get("/ask/streamed").text) == pytest.approx(numbers(ANSWER), rel=1e-4)
        figure = 'wasmind_placements_total{model="streamed",place="remote",scope="shared"} 1.0'
        node.until(lambda: figure in node.api("/metrics").text)
        assert "cannot stand in" not in node.log
