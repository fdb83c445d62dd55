"""Models on a server elsewhere, in the supervisor and through whole nodes, with a real server."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
import structlog

from support.nodes import CONFIG, running
from support.oip_server import OipServer, oip_server
from support.onnx_models import add
from wasmind.config import KServe, Model
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.node.messages import ModelEntry, ModelState, decode_to_edge, encode
from wasmind.node.plan import ModelPlan, RemoteSpec
from wasmind.node.remote import RemoteModel

pytestmark = pytest.mark.slow

ANSWER = "3 5 7 9 \n"
SPEC = (TensorSpec("x", TensorType.F32, (1, 4)),)


def plan(url: str, model: str = "linear", **more: object) -> ModelPlan:
    kserve = KServe(url=url, model=model, **more)  # type: ignore[arg-type]  # settings by name
    return ModelPlan(
        id="m",
        name="m",
        scope="shared",
        digest="0" * 64,
        spec=RemoteSpec(kserve=kserve),
        settings=Model(kserve=kserve),
    )


class Watched:
    """A remote model, and all that is told of it."""

    def __init__(self, what: ModelPlan) -> None:
        self.told: list[ModelEntry] = []
        assert isinstance(what.spec, RemoteSpec)
        self.model = RemoteModel(
            what, what.spec.kserve, lambda model: self.told.append(model.entry), structlog.get_logger()
        )

    async def __aenter__(self) -> Watched:
        self.model.start()
        await self.model.settled()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.model.stop()

    async def until(self, state: str) -> None:
        async with asyncio.timeout(15):
            while self.model.entry.state != state:
                await asyncio.sleep(0.02)


async def test_the_server_tells_the_signature() -> None:
    with oip_server() as server:
        async with Watched(plan(server.url)) as watched:
            assert watched.model.entry.state == "ready"
            signature = watched.model.entry.signature
            assert signature == Signature(SPEC, (TensorSpec("y", TensorType.F32, (1, 4)),))
            status = watched.model.status(("f",))
            assert (status.runtime, status.servers, status.functions) == ("kserve", (server.url,), ("f",))
    assert watched.model.stopped


async def test_a_server_that_comes_later() -> None:
    with oip_server() as server:
        port = server.port
    async with Watched(plan(f"http://127.0.0.1:{port}")) as watched:
        assert watched.model.entry.state == "away"
        assert "cannot reach" in (watched.model.entry.reason or "")
        assert watched.model.failure is None
        late = OipServer(port=port)
        try:
            await watched.until("ready")
        finally:
            late.stop()


async def test_a_model_that_the_server_does_not_have() -> None:
    with oip_server() as server:
        async with Watched(plan(server.url, "unknown")) as watched:
            assert watched.model.entry.state == "away"
            assert "404" in (watched.model.entry.reason or "")


async def test_certificates_that_cannot_be_used_are_the_end(tmp_path: Path) -> None:
    async with Watched(plan("https://127.0.0.1:1", ca=tmp_path / "missing")) as watched:
        assert watched.model.given_up
        assert watched.model.failure is not None


def test_its_settings_reach_an_edge_worker() -> None:
    entry = plan("http://h", token_file=Path("/run/token")).entry("")
    decoded = decode_to_edge(encode(ModelState(model=entry))[4:])
    assert isinstance(decoded, ModelState)
    assert decoded.model == entry


def remote(url: str, more: str = "") -> str:
    return CONFIG.replace('path = "linear.onnx"', f'kserve = {{ url = "{url}", model = "linear" }}\n{more}')


@pytest.mark.parametrize("binary", [True, False], ids=["raw", "json"])
def test_a_guest_reaches_a_model_elsewhere(tmp_path: Path, binary: bool) -> None:
    with oip_server(binary=binary) as server, running(tmp_path, remote(server.url)) as node:
        assert node.get("/ask/linear").text == ANSWER
        assert server.counts()["raw" if binary else "json"] == 1
        status = node.model()
        assert (status.state, status.pid, status.servers) == ("ready", None, (server.url,))


def test_a_server_that_dies_fails_calls_in_time_and_serves_again(tmp_path: Path) -> None:
    server = OipServer()
    try:
        with running(tmp_path, remote(server.url, 'when_down = "fail"')) as node:
            assert node.get("/ask/linear").text == ANSWER
            server.stop()
            began = time.monotonic()
            assert node.get("/ask/linear").status == 500
            assert time.monotonic() - began < 5
            assert node.get("/http/hello").text == "hello\n"
            server = OipServer(port=server.port)
            node.until(lambda: node.get("/ask/linear").text == ANSWER)
    finally:
        server.stop()


def test_a_node_starts_while_the_server_is_away_and_calls_wait_for_it(tmp_path: Path) -> None:
    with oip_server() as server:
        port = server.port
    with running(tmp_path, remote(f"http://127.0.0.1:{port}")) as node:
        assert node.model().state == "away"
        assert node.api("/readyz").status == 200
        late: list[OipServer] = []
        try:
            loop = asyncio.new_event_loop()
            waiting = loop.run_in_executor(None, lambda: node.get("/ask/linear").text)
            time.sleep(0.3)
            late.append(OipServer(port=port))
            assert loop.run_until_complete(asyncio.wait_for(waiting, 20)) == ANSWER
            loop.close()
        finally:
            for server in late:
                server.stop()


SMALL = '\n[models.small]\npath = "linear.onnx"\n'


def test_a_stand_in_answers_while_the_server_is_away_and_developers_see_it(tmp_path: Path) -> None:
    server = OipServer()
    text = remote(server.url, 'stand_in = { model = "small" }') + SMALL
    try:
        with running(tmp_path, text.replace("[node]", "[node]\ndev = true")) as node:
            answer = node.get("/ask/linear")
            assert answer.text == ANSWER
            assert "stand-in" not in answer.headers["server-timing"]
            server.stop()
            for _ in range(3):
                answer = node.get("/ask/linear")
                assert (answer.status, answer.text) == (200, ANSWER)
                assert 'stand-in;desc="linear by small"' in answer.headers["server-timing"]
            figure = 'wasmind_stand_ins_total{by="small",model="linear",reason="down",scope="shared"} 3.0'
            node.until(lambda: figure in node.api("/metrics").text)
            server = OipServer(port=server.port)
            node.until(lambda: "stand-in" not in node.get("/ask/linear").headers["server-timing"])
    finally:
        server.stop()


def test_a_node_starts_with_a_stand_in_alone(tmp_path: Path) -> None:
    text = remote("http://127.0.0.1:1", 'stand_in = { model = "small" }') + SMALL
    with running(tmp_path, text) as node:
        assert node.get("/ask/linear").text == ANSWER


def test_a_model_in_both_places(tmp_path: Path) -> None:
    with oip_server() as server:
        both = f'kserve = {{ url = "{server.url}", model = "linear" }}\nprefer = "remote"\n'
        with running(tmp_path, CONFIG.replace("[models.linear]", f"[models.linear]\n{both}")) as node:
            states = {model.name: model.state for model in node.status().models}
            assert states == {"linear": "ready", "linear@remote": "ready"}
            before = server.counts()["raw"]
            assert node.get("/ask/linear").text == ANSWER
            assert server.counts()["raw"] == before + 1
            server.stop()
            assert node.get("/ask/linear").text == ANSWER, "the other place has it too"
            node.reconfigure('prefer = "remote"', 'prefer = "local"')
            node.reload()
            assert node.get("/ask/linear").text == ANSWER
            figure = 'wasmind_placements_total{model="linear",place="local",scope="shared"} '
            node.until(lambda: figure in node.api("/metrics").text)


def test_a_stand_in_that_does_not_fit_is_told_at_once(tmp_path: Path) -> None:
    wide = SMALL.replace("linear.onnx", "wide.onnx")
    with oip_server() as server:
        text = remote(server.url, 'stand_in = { model = "small" }') + wide
        (tmp_path / "wide.onnx").write_bytes(add())
        with running(tmp_path, text) as node:
            node.until(lambda: "a model cannot stand in for another" in node.log)
            assert "one model has 1 inputs and the other 2" in node.log
            assert node.get("/ask/linear").text == ANSWER
