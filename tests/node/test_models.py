"""One model's process: it serves, dies, comes back, is given up, and is revived by a reload."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
import structlog

from support.nodes import alive, kill
from support.onnx_models import linear
from wasmind.catalog.digests import Digests
from wasmind.catalog.model import read_model
from wasmind.config import Model
from wasmind.errors import ModelDied
from wasmind.node.fleet import Fleet
from wasmind.node.messages import LoadModel
from wasmind.node.models import ProcessModel
from wasmind.node.plan import ModelPlan, plan_model
from wasmind.node.uploads import Uploads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from wasmind.node.messages import ModelEntry


def planned(path: Path, data: bytes | None = None, **settings: object) -> ModelPlan:
    path.write_bytes(linear() if data is None else data)
    return plan_model(read_model(path.stem, Model(path=path, **settings), Digests()))  # type: ignore[arg-type]


class Watched:
    """A model, and all that was told of it."""

    def __init__(self, plan: ModelPlan, directory: Path) -> None:
        self.told: list[ModelEntry] = []
        self.model = ProcessModel(plan, directory / "m", self._hear, structlog.get_logger())

    def _hear(self, model: ProcessModel) -> None:
        self.told.append(model.entry)

    @property
    def states(self) -> list[str]:
        return [entry.state for entry in self.told]

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(30):
            while not holds():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def served(plan: ModelPlan) -> AsyncIterator[Watched]:
    with tempfile.TemporaryDirectory() as directory:
        watched = Watched(plan, Path(directory))
        watched.model.start()
        await watched.model.settled()
        yield watched
        await watched.model.stop()


async def test_a_model_serves_dies_comes_back_and_stops(tmp_path: Path) -> None:
    async with served(planned(tmp_path / "linear.onnx")) as watched:
        model = watched.model
        assert watched.states == ["ready"]
        assert str(model.entry.signature and model.entry.signature.inputs[0]) == "f32 [1,4]"
        first = model.status(()).pid
        kill(first)
        await watched.until(lambda: watched.states[-1:] == ["restarting"])
        assert isinstance(model.failure, ModelDied)
        assert "SIGKILL" in (model.entry.reason or "")
        await watched.until(lambda: watched.states[-1:] == ["ready"])
        second = model.status(("f",))
        assert second.pid not in (None, first)
        assert (second.restarts, second.functions, second.reason) == (1, ("f",), None)
        assert second.memory
        assert second.memory > 10 << 20
        assert second.load_seconds
    assert watched.states == ["ready", "restarting", "ready", "stopped"]
    assert [entry.incarnation for entry in watched.told] == [1, 2, 3, 4]
    assert not alive(second.pid or 0)


@pytest.mark.slow
async def test_a_load_that_fails_is_tried_again_later_and_later_then_quarantined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wasmind.node.models.RETRY_SECONDS", 0.01)
    plan = msgspec.structs.replace(planned(tmp_path / "broken.onnx", linear()[:-40]), attempts=3)
    async with served(plan) as watched:
        assert watched.states == ["failed"]
        first = watched.told[0]
        assert first.reason
        assert "no ONNX file" in first.reason
        assert first.retry_at
        await watched.until(lambda: watched.model.given_up)
        assert watched.states == ["failed", "failed", "quarantined"]
        assert watched.told[1].retry_at
        assert watched.told[1].retry_at > first.retry_at
        assert "3 times in a row" in (watched.model.entry.reason or "")
        assert "no ONNX file" in (watched.model.entry.reason or "")
        assert watched.model.restarts == 0


async def test_a_load_that_fails_may_succeed_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wasmind.node.models.RETRY_SECONDS", 0.01)
    plan = planned(tmp_path / "late.onnx")
    (tmp_path / "late.onnx").write_bytes(b"not yet")
    async with served(plan) as watched:
        (tmp_path / "late.onnx").write_bytes(linear())
        await watched.until(lambda: watched.states[-1] == "ready")
        assert watched.model.failure is None


async def test_a_refusal_that_trying_does_not_change_is_final(tmp_path: Path) -> None:
    async with served(planned(tmp_path / "linear.onnx", target="tpu")) as watched:
        assert watched.states == ["failed"]
        assert watched.model.given_up


async def test_a_model_waits_to_be_used_loads_once_and_leaves(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        watched = Watched(planned(tmp_path / "linear.onnx"), Path(directory))
        model = watched.model
        model.rest()
        await model.settled()
        assert watched.states == ["unloaded"]
        assert model.status(()).pid is None
        for tenant in ("a", "a", "b"):
            model.want(tenant)
        await model.settled()
        assert watched.states == ["unloaded", "loading", "ready"], "concurrent first uses load it once"
        pid = model.status(()).pid
        await model.unload("its memory is needed")
        assert not alive(pid or 0)
        assert (model.entry.state, model.entry.reason) == ("unloaded", "its memory is needed")
        model.want("a")
        await model.settled()
        assert model.entry.state == "ready"
        await model.unload("the operator said so", on_use=False)
        model.want("a")
        assert model.entry.state == "unloaded", "only its operator loads it again"
        model.start()
        await model.settled()
        assert model.entry.state == "ready"
        assert model.entry.on_use
        await model.stop()
        assert watched.states[-1] == "stopped"


async def test_a_model_that_is_wanted_while_it_leaves_comes_back(tmp_path: Path) -> None:
    async with served(planned(tmp_path / "linear.onnx")) as watched:
        leaving = asyncio.create_task(watched.model.unload("its memory is needed"))
        await asyncio.sleep(0)  # it says that it leaves, and waits for its process
        assert watched.states[-1] == "unloaded"
        watched.model.want("a")
        await leaving
        await watched.until(lambda: watched.states[-1] == "ready")
        assert watched.states == ["ready", "unloaded", "loading", "ready"]


async def test_a_model_stopped_while_it_leaves_does_not_come_back(tmp_path: Path) -> None:
    async with served(planned(tmp_path / "linear.onnx")) as watched:
        leaving = asyncio.create_task(watched.model.unload("its memory is needed"))
        await asyncio.sleep(0)  # it says that it leaves, and waits for its process
        assert watched.states[-1] == "unloaded"
        watched.model.want("a")
        await watched.model.stop()
        await leaving
        assert watched.states == ["ready", "unloaded", "stopped"]
        watched.model._listener.close()


async def test_labels_must_fit_an_output(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    async with served(planned(tmp_path / "linear.onnx", labels=tmp_path / "labels.txt")) as watched:
        assert watched.states == ["failed"]
        assert "there are 3 labels, and no output has so many values" in (watched.model.entry.reason or "")


async def test_a_stop_while_it_loads_leaves_no_process(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        watched = Watched(planned(tmp_path / "linear.onnx"), Path(directory))
        watched.model.start()
        await watched.until(lambda: watched.model.status(()).pid)
        pid = watched.model.status(()).pid
        await watched.model.stop()
        assert not alive(pid or 0)
        await watched.model.settled()
        assert watched.states == ["stopped"]


async def test_the_same_plan_is_the_same_process_over_a_reload(tmp_path: Path) -> None:
    first = planned(tmp_path / "linear.onnx")
    same = planned(tmp_path / "linear.onnx", description="better words", when_down="fail")
    other = planned(tmp_path / "linear.onnx", threads=2)
    assert first.id == same.id
    assert first.id != other.id
    with tempfile.TemporaryDirectory() as directory:
        fleet = Fleet(Path(directory), lambda _: None, structlog.get_logger())
        (started,) = fleet.start([first])
        assert fleet.start([same]) == []
        fleet.adopt([same])
        assert fleet.models[first.id].status(()).description == "better words"
        assert started.entry.when_down == "fail"
        assert fleet.entries([first.id]) == (started.entry,)
        await fleet.close()
        assert fleet.models == {}


async def test_a_model_is_brought_as_bytes_once_per_tenant(tmp_path: Path) -> None:
    plan = planned(tmp_path / "model.onnx")

    def brought(tenant: str) -> LoadModel:
        return LoadModel(
            request=1,
            function="f",
            tenant=tenant,
            digest=plan.digest,
            path=str(tmp_path / "model.onnx"),
            encoding="onnx",
            target="cpu",
        )

    with tempfile.TemporaryDirectory() as directory:
        fleet = Fleet(Path(directory), lambda _: None, structlog.get_logger())
        uploads = Uploads(fleet)
        answers = await asyncio.gather(*(uploads.load(brought(tenant)) for tenant in "aaab"))
        ids = {answer.model.id for answer in answers if answer.model}
        assert len(ids) == len(fleet.models) == 2
        assert {model.plan.scope for model in fleet.models.values()} == {"a", "b"}
        await fleet.close()


async def test_a_tenant_keeps_so_many_models_and_the_oldest_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wasmind.node.uploads.MODELS_PER_TENANT", 1)
    with tempfile.TemporaryDirectory() as directory:
        fleet = Fleet(Path(directory), lambda _: None, structlog.get_logger())
        uploads = Uploads(fleet)
        ids = set()
        for index in range(2):
            path = tmp_path / f"{index}.onnx"
            path.write_bytes(b"\x08\x08" + bytes([0x3A, index]) + linear()[:index])  # no models, told apart
            message = LoadModel(
                request=index,
                function="f",
                tenant="t",
                digest=str(index) * 64,
                path=str(path),
                encoding="onnx",
                target="cpu",
            )
            answer = await uploads.load(message)
            assert answer.failure
            assert answer.request == index
            (kept,) = fleet.models
            ids.add(kept)
        assert len(ids) == 2
        await fleet.close()
