"""The gRPC transport against a server of the protocol's own stubs, which answers as different servers do."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from open_inference.grpc import service

from support.meddler import meddling
from support.oip_grpc import Servicer
from wasmind.backends.oip.grpc import GrpcTransport, connect
from wasmind.backends.oip.http2 import SILENT
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

F32 = TensorType.F32
X = Tensor(F32, (1, 4), struct.pack("<4f", 1, 2, 3, 4))
Y = struct.pack("<4f", 3, 5, 7, 9)


@asynccontextmanager
async def serving(
    options: Sequence[tuple[str, int]] = (), port: int = 0
) -> AsyncIterator[tuple[Servicer, str]]:
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server, servicer = grpc.aio.server(options=[*unlimited, *options]), Servicer()
    service.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield servicer, f"http://127.0.0.1:{port}"
    finally:
        await server.stop(None)


@asynccontextmanager
async def transport(url: str, model: str, **more: object) -> AsyncIterator[GrpcTransport]:
    settings = KServe(url=url, model=model, protocol="grpc", **more)  # type: ignore[arg-type]  # settings by name
    one = connect(url, settings)
    try:
        yield one
    finally:
        await one.close()


async def infer(url: str, model: str, seconds: float = 5.0, **more: object) -> bytes:
    async with transport(url, model, **more) as one:
        ((name, tensor),) = await one.infer([("x", X)], ["y"], seconds)
    assert (name, tensor.type, tensor.dims) == ("y", F32, (1, 4))
    return bytes(tensor.data)


async def test_the_signature() -> None:
    async with serving() as (_, url), transport(url, "raw") as one:
        assert await one.signature(5.0) == Signature(
            (TensorSpec("x", F32, (None, 4)),), (TensorSpec("y", F32, (None, 4)),)
        )
    async with serving() as (_, url), transport(url, "unknown") as one:
        with pytest.raises(ModelNotFound):
            await one.signature(5.0)


@pytest.mark.parametrize("model", ["raw", "typed"])
async def test_raw_and_typed_answers(model: str) -> None:
    async with serving() as (_, url):
        assert await infer(url, model) == Y


@pytest.mark.parametrize("count", [1, 150_000, 4_000_000])
async def test_large_tensors(count: int) -> None:
    data = (struct.pack("<4f", 1, 2, 3, 4) * (count // 4 + 1))[: 4 * count]
    async with serving() as (_, url), transport(url, "echo") as one:
        sent = [("x", Tensor(F32, (1, count), memoryview(bytearray(data))))]
        answers = await asyncio.gather(*(one.infer(sent, ["y"], 30.0) for _ in range(2)))
    for ((_, tensor),) in answers:
        assert (tensor.dims, tensor.data == data) == ((1, count), True)


async def test_many_calls_at_once_share_a_connection() -> None:
    async with serving() as (_, url), meddling(url) as meddler, transport(meddler.url, "raw") as one:
        answers = await asyncio.gather(*(one.infer([("x", X)], ["y"], 10.0) for _ in range(200)))
        assert all(bytes(tensor.data) == Y for ((_, tensor),) in answers)
        assert meddler.open == 1


async def test_more_calls_than_the_server_takes_of_a_connection() -> None:
    options = [("grpc.max_concurrent_streams", 3)]
    async with serving(options) as (_, url), transport(url, "raw") as one:
        answers = await asyncio.gather(*(one.infer([("x", X)], ["y"], 10.0) for _ in range(20)))
        assert all(bytes(tensor.data) == Y for ((_, tensor),) in answers)


async def test_a_connection_that_the_server_ends_for_its_age() -> None:
    """Calls go on, some over the old connection and some over the next."""
    options = [("grpc.max_connection_age_ms", 200), ("grpc.max_connection_age_grace_ms", 5000)]
    async with serving(options) as (_, url), transport(url, "raw") as one:
        until = asyncio.get_running_loop().time() + 1.0
        while asyncio.get_running_loop().time() < until:
            ((_, tensor),) = await one.infer([("x", X)], ["y"], 5.0)
            assert bytes(tensor.data) == Y


async def test_a_server_that_stops_and_comes_back() -> None:
    async with serving() as (_, url):
        pass
    async with transport(url, "raw") as one:
        for _ in range(2):
            async with serving(port=int(url.rpartition(":")[2])):
                ((_, tensor),) = await one.infer([("x", X)], ["y"], 5.0)
                assert bytes(tensor.data) == Y
            with pytest.raises(NotSent):
                await one.infer([("x", X)], ["y"], 5.0)


@pytest.mark.parametrize("seconds", [3.0, 200.0])
async def test_the_server_is_told_the_deadline(seconds: float) -> None:
    async with serving() as (servicer, url):
        await infer(url, "raw", seconds)
    assert servicer.remaining is not None
    assert seconds - 2 < servicer.remaining <= seconds


async def test_a_deadline_that_never_comes() -> None:
    async with serving() as (_, url):
        assert await infer(url, "raw", 1e12) == Y


@pytest.mark.parametrize("model", ["shape", "short", "more", "nothing", "half-float", "ints"])
async def test_an_answer_that_makes_no_sense(model: str) -> None:
    async with serving() as (_, url):
        with pytest.raises(RuntimeFailed):
            await infer(url, model)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("INVALID_ARGUMENT", InvalidTensor),
        ("NOT_FOUND", ModelNotFound),
        ("RESOURCE_EXHAUSTED", ModelBusy),
        ("DEADLINE_EXCEEDED", InferenceTimeout),
        ("UNAVAILABLE", ModelUnavailable),
        ("INTERNAL", RuntimeFailed),
        ("UNAUTHENTICATED", RuntimeFailed),
    ],
)
async def test_each_code_has_its_error(code: str, error: type[NnError]) -> None:
    async with serving() as (_, url):
        with pytest.raises(error, match=code) as raised:
            await infer(url, code)
    assert raised.value.cause == "its own words"
    assert not isinstance(raised.value, NotSent)


async def test_a_late_answer_is_a_timeout() -> None:
    async with serving() as (servicer, url):
        with pytest.raises(InferenceTimeout):
            await infer(url, "hang", seconds=0.1)
        await asyncio.wait_for(servicer.given_up.wait(), 5)


async def test_cancelling_ends_the_call() -> None:
    async with serving() as (servicer, url):
        task = asyncio.create_task(infer(url, "hang"))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(servicer.given_up.wait(), 5)


async def test_nobody_listens() -> None:
    async with serving() as (_, url):
        pass
    with pytest.raises(NotSent):
        await infer(url, "raw")


async def test_a_token_is_shown(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    async with serving() as (servicer, url):
        await infer(url, "raw", token_file=tmp_path / "token")
    assert servicer.metadata["authorization"] == "Bearer secret"


def test_certificates_that_are_missing_are_named(tmp_path: Path) -> None:
    settings = KServe(url="https://h", model="m", protocol="grpc", ca=tmp_path / "missing")
    with pytest.raises(ConfigError, match="missing"):
        connect("https://h", settings)


async def test_a_connection_that_is_dead_is_left() -> None:
    """It stands, and nothing comes back over it: as when a machine goes, or something between forgets it."""
    async with serving() as (_, url), meddling(url) as meddler, transport(meddler.url, "raw") as one:
        await one.infer([("x", X)], ["y"], 5.0)
        meddler.mode = "hang"
        for _ in range(SILENT):
            with pytest.raises(InferenceTimeout):
                await one.infer([("x", X)], ["y"], 0.2)
        meddler.mode = "pass"
        ((_, tensor),) = await one.infer([("x", X)], ["y"], 5.0)
        assert bytes(tensor.data) == Y
        async with asyncio.timeout(5):
            while meddler.open > 1:
                await asyncio.sleep(0.02)


async def test_late_calls_do_not_end_those_that_still_run() -> None:
    async with serving() as (_, url), transport(url, "hang") as one:
        long = asyncio.create_task(one.infer([("x", X)], ["y"], 5.0))
        for _ in range(SILENT):
            with pytest.raises(InferenceTimeout):
                await one.infer([("x", X)], ["y"], 0.1)
        await asyncio.sleep(0.1)
        assert not long.done()
        long.cancel()
        with pytest.raises(asyncio.CancelledError):
            await long
