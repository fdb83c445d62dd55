"""The REST transport against a server process that answers, and one that misbehaves in every way."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from support.garbage import leaves_nothing
from support.oip_server import OipServer, oip_server
from wasmind.backends.oip import rest
from wasmind.backends.oip.http import RestTransport, connect
from wasmind.backends.oip.transport import NotSent
from wasmind.config import KServe
from wasmind.errors import (
    ConfigError,
    InferenceTimeout,
    InvalidTensor,
    ModelBusy,
    ModelNotFound,
    ModelUnavailable,
    NnError,
    RuntimeFailed,
)
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.nn.tensor import Tensor, TensorType

X = Tensor(TensorType.F32, (1, 4), struct.pack("<4f", 1, 2, 3, 4))
Y = struct.pack("<4f", 3, 5, 7, 9)
F32 = TensorType.F32


@pytest.fixture(scope="module")
def server() -> Iterator[OipServer]:
    with oip_server() as running:
        yield running


@asynccontextmanager
async def transport(
    server: OipServer | str, model: str = "linear", **more: object
) -> AsyncIterator[RestTransport]:
    url = server if isinstance(server, str) else server.url
    one = connect(url, KServe(url=url, model=model, **more))  # type: ignore[arg-type]  # settings by name
    try:
        yield one
    finally:
        await one.close()


async def infer(server: OipServer, model: str = "linear", seconds: float = 5.0, **more: object) -> bytes:
    async with transport(server, model, **more) as one:
        ((name, tensor),) = await one.infer([("x", X)], ["y"], seconds)
    assert (name, tensor.type, tensor.dims) == ("y", F32, (1, 4))
    return bytes(tensor.data)


async def test_the_signature(server: OipServer) -> None:
    async with transport(server) as one:
        assert await one.signature(5.0) == Signature(
            (TensorSpec("x", F32, (1, 4)),), (TensorSpec("y", F32, (1, 4)),)
        )


async def test_raw_bytes_where_the_server_takes_them(server: OipServer) -> None:
    before = server.counts()["raw"]
    assert await infer(server) == Y
    assert server.counts()["raw"] == before + 1


async def test_json_where_it_does_not() -> None:
    with oip_server(binary=False) as plain:
        assert await infer(plain) == Y
        assert plain.counts()["json"] == 1


async def test_what_a_request_made_is_freed_with_it(server: OipServer) -> None:
    async with transport(server) as one:
        await leaves_nothing(lambda: one.infer([("x", X)], ["y"], 5.0))


@pytest.mark.parametrize("mode", ["half", "hangup", "garbage", "lies", "busy", "refuses", "unknown"])
async def test_what_a_failed_request_made_is_freed_with_it(server: OipServer, mode: str) -> None:
    async with transport(server, mode) as one:

        async def fail() -> None:
            with pytest.raises(NnError):
                await one.infer([("x", X)], ["y"], 5.0)

        await leaves_nothing(fail)


async def test_connections_are_used_again(server: OipServer) -> None:
    before = server.counts()["connections"]
    async with transport(server) as one:
        for _ in range(5):
            await one.infer([("x", X)], ["y"], 5.0)
    assert server.counts()["connections"] - before == 1 + 1  # counting takes one, too


@pytest.mark.parametrize(
    ("mode", "error", "words"),
    [
        ("half", ModelUnavailable, "broke off"),
        ("hangup", ModelUnavailable, "broke off"),
        ("garbage", RuntimeFailed, "no inference response"),
        ("lies", RuntimeFailed, "malformed"),
        ("busy", ModelBusy, "429"),
        ("away", ModelUnavailable, "503"),
        ("moved", RuntimeFailed, "302"),
        ("refuses", InvalidTensor, "400"),
        ("unknown", ModelNotFound, "404"),
    ],
)
async def test_each_failure_has_its_error(
    server: OipServer, mode: str, error: type[Exception], words: str
) -> None:
    before = server.counts()[mode]
    with pytest.raises(error, match=words) as raised:
        await infer(server, mode)
    assert not isinstance(raised.value, NotSent)
    assert server.counts()[mode] - before <= 1  # what was sent is not sent again


async def test_the_words_of_the_server_are_passed_on(server: OipServer) -> None:
    with pytest.raises(InvalidTensor) as refused:
        await infer(server, "refuses")
    assert refused.value.cause == "unexpected shape for input 'x'"


async def test_a_connection_is_not_used_again_after_a_failure(server: OipServer) -> None:
    before = server.counts()["connections"]
    async with transport(server, "away") as one:
        for _ in range(3):
            with pytest.raises(ModelUnavailable):
                await one.infer([("x", X)], ["y"], 5.0)
    assert server.counts()["connections"] - before == 3 + 1  # counting takes one, too


@pytest.mark.parametrize("mode", ["hang", "slow"])
async def test_a_late_answer_is_a_timeout_in_time(server: OipServer, mode: str) -> None:
    began = time.monotonic()
    with pytest.raises(InferenceTimeout, match=server.url):
        await infer(server, mode, seconds=0.1)
    assert time.monotonic() - began < 1.0


async def test_cancelling_closes_the_request(server: OipServer) -> None:
    before = server.counts()["given up"]
    async with transport(server, "hang") as one:
        task = asyncio.create_task(one.infer([("x", X)], ["y"], 30.0))
        while not server.counts()["hang"] or task.done():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(5):
            while server.counts()["given up"] == before:
                await asyncio.sleep(0.01)


async def test_an_endless_answer_is_cut(server: OipServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "MAX_ANSWER", 8 << 20)
    with pytest.raises(RuntimeFailed, match="answers more"):
        await infer(server, "flood", seconds=20)


async def test_nobody_listens() -> None:
    with oip_server() as server:
        url = server.url
    async with transport(url) as one:
        with pytest.raises(NotSent, match=url):
            await one.infer([("x", X)], ["y"], 5.0)
        with pytest.raises(NotSent):
            await one.signature(5.0)


async def test_a_server_that_dies_and_comes_back(server: OipServer) -> None:
    first = OipServer()
    try:
        async with transport(first) as one:
            await one.infer([("x", X)], ["y"], 5.0)
            first.stop()
            with pytest.raises(ModelUnavailable):
                await one.infer([("x", X)], ["y"], 5.0)
            first = OipServer(port=first.port)
            ((_, tensor),) = await one.infer([("x", X)], ["y"], 5.0)
            assert bytes(tensor.data) == Y
    finally:
        first.stop()


async def test_a_token_is_shown_and_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("wrong\n")
    with oip_server(token="secret") as guarded:
        async with transport(guarded, token_file=file) as one:
            with pytest.raises(RuntimeFailed, match="401"):
                await one.infer([("x", X)], ["y"], 5.0)
            file.write_text("secret\n")
            ((_, tensor),) = await one.infer([("x", X)], ["y"], 5.0)
            assert bytes(tensor.data) == Y
            file.unlink()
            with pytest.raises(ModelUnavailable, match="token"):
                await one.infer([("x", X)], ["y"], 5.0)


def test_certificates_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("no certificate")
    with pytest.raises(ConfigError, match="ca"):
        connect("https://h", KServe(url="https://h", model="m", ca=tmp_path / "ca"))
