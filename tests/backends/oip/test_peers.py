"""Real servers give what the local runtime gives, by REST and by gRPC."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import peers
from support.meddler import Mode, meddling
from support.onnx_models import add, linear
from support.peers import Peer
from wasmind.backends.oip.backend import OipBackend
from wasmind.backends.oip.connect import connect
from wasmind.cli.local import LocalModel
from wasmind.config import KServe, Model
from wasmind.errors import InferenceTimeout, ModelUnavailable, NnError, RuntimeFailed
from wasmind.nn.backend import Backend
from wasmind.nn.tensor import Tensor, TensorType

pytestmark = pytest.mark.peers

MODELS = {
    "linear": (linear(), {"x": [1, 4]}, {"y": [1, 4]}),
    "add": (add(), {"x": [-1, 3], "y": [-1, 3]}, {"z": [-1, 3], "w": [-1, 3]}),
}
Start = Callable[[Path, Any], AbstractContextManager[Peer]]
STARTS = {"triton": peers.triton, "mlserver": peers.mlserver, "kserve": peers.kserve}


@pytest.fixture(scope="module", params=STARTS)
def peer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    start: Start = STARTS[request.param]
    with start(tmp_path_factory.mktemp("peer"), MODELS) as running:
        yield running


def remote(peer: Peer | str, protocol: Any, model: str, **more: Any) -> OipBackend:
    url = peer if isinstance(peer, str) else getattr(peer, protocol)
    settings = KServe(url=url, model=model, protocol=protocol, **more)
    return OipBackend(model, lambda: connect(settings, 100), when_down="fail")


def tensors(model: str, seed: int) -> tuple[Tensor, ...]:
    random = np.random.default_rng(seed)
    dims = [(1, 4)] if model == "linear" else [(5, 3), (5, 3)]
    return tuple(Tensor(TensorType.F32, d, random.normal(size=d).astype("<f4").tobytes()) for d in dims)


async def run(
    backend: Backend, inputs: tuple[Tensor, ...], seconds: float = 10.0
) -> list[tuple[tuple[int, ...], bytes]]:
    outputs = await backend.infer(inputs, asyncio.get_running_loop().time() + seconds, "t")
    found = [(tensor.dims, bytes(tensor.data)) for tensor in outputs.tensors]
    outputs.release()
    return found


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
@pytest.mark.parametrize("model", MODELS)
async def test_results_equal_the_local_runtime(peer: Peer, protocol: str, model: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.onnx"
        path.write_bytes(MODELS[model][0])
        local = await LocalModel.start("local", Model(path=path), Path(directory) / "m")
        elsewhere = remote(peer, protocol, model)
        try:
            signature = await elsewhere.refresh()
            assert [spec.name for spec in signature.inputs] == list(MODELS[model][1])
            for seed in range(5):
                inputs = tensors(model, seed)
                assert await run(elsewhere, inputs) == await run(local.graph.backend, inputs)
        finally:
            await elsewhere.close()
            await local.close()


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
async def test_what_a_server_refuses_is_our_error(peer: Peer, protocol: str) -> None:
    unknown = remote(peer, protocol, "unknown")
    with pytest.raises(NnError):
        await unknown.refresh()
    await unknown.close()
    known = remote(peer, protocol, "linear")
    try:
        await known.refresh()
        with pytest.raises(NnError):
            await run(known, (Tensor(TensorType.F32, (2, 3), bytes(24)),))
        assert await run(known, tensors("linear", 0))
    finally:
        await known.close()


async def test_raw_bytes_to_a_server_that_takes_them_unlisted(
    peer: Peer, request: pytest.FixtureRequest
) -> None:
    if "kserve" not in request.node.name:
        pytest.skip("the other servers list what they take")
    plain, raw = (remote(peer, "rest", "linear", binary=binary) for binary in (None, True))
    try:
        for one in (plain, raw):
            await one.refresh()
        assert await run(plain, tensors("linear", 1)) == await run(raw, tensors("linear", 1))
    finally:
        await plain.close()
        await raw.close()


async def test_many_at_once(peer: Peer) -> None:
    elsewhere = remote(peer, "rest", "linear", concurrency=16)
    try:
        await elsewhere.refresh()
        given = [tensors("linear", seed) for seed in range(64)]
        answers = await asyncio.gather(*(run(elsewhere, inputs, 30) for inputs in given))
        for inputs, ((dims, data),) in zip(given, answers, strict=True):
            assert dims == (1, 4)
            expected = np.frombuffer(inputs[0].data, "<f4") * 2 + 1
            np.testing.assert_allclose(np.frombuffer(data, "<f4"), expected, rtol=1e-6)
    finally:
        await elsewhere.close()


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
@pytest.mark.parametrize("mode", ["hang", "slow", "rubbish", "half", "cut"])
async def test_what_breaks_on_the_way_is_an_error_in_time(peer: Peer, protocol: str, mode: Mode) -> None:
    """Two inferences fail as they should, none takes longer than it may, and then all is well again."""
    async with meddling(getattr(peer, protocol)) as meddler:
        elsewhere = remote(meddler.url, protocol, "linear")
        try:
            await elsewhere.refresh()
            expected = await run(elsewhere, tensors("linear", 3))
            meddler.mode = mode
            for _ in range(2):
                began = time.monotonic()
                with pytest.raises((InferenceTimeout, ModelUnavailable, RuntimeFailed)):
                    await run(elsewhere, tensors("linear", 3), seconds=0.5)
                assert time.monotonic() - began < 2.0
            meddler.mode = "pass"
            async with asyncio.timeout(20):
                while True:
                    try:
                        assert await run(elsewhere, tensors("linear", 3)) == expected
                        break
                    except NnError:
                        await asyncio.sleep(0.1)
        finally:
            await elsewhere.close()
        async with asyncio.timeout(10):
            while meddler.open:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
async def test_a_server_that_hangs(peer: Peer, protocol: str) -> None:
    elsewhere = remote(peer, protocol, "linear")
    try:
        await elsewhere.refresh()
        expected = await run(elsewhere, tensors("linear", 4))
        os.kill(peer.process.pid, signal.SIGSTOP)
        await asyncio.sleep(0.2)
        try:
            began = time.monotonic()
            results = await asyncio.gather(
                *(run(elsewhere, tensors("linear", 4), 0.5) for _ in range(20)), return_exceptions=True
            )
            assert time.monotonic() - began < 3.0
            assert {type(result) for result in results} == {InferenceTimeout}
        finally:
            os.kill(peer.process.pid, signal.SIGCONT)
        async with asyncio.timeout(30):
            while True:
                try:
                    assert await run(elsewhere, tensors("linear", 4)) == expected
                    break
                except NnError:
                    await asyncio.sleep(0.2)
    finally:
        await elsewhere.close()


async def test_a_server_that_is_killed(peer: Peer) -> None:
    """The last test with this server."""
    both = [remote(peer, protocol, "linear") for protocol in ("rest", "grpc")]
    try:
        for elsewhere in both:
            await elsewhere.refresh()
            await run(elsewhere, tensors("linear", 5))
        os.killpg(peer.process.pid, signal.SIGKILL)
        peer.process.wait()
        for elsewhere in both:
            began = time.monotonic()
            for _ in range(3):
                with pytest.raises(ModelUnavailable):
                    await run(elsewhere, tensors("linear", 5), seconds=5.0)
            assert time.monotonic() - began < 5.0
    finally:
        for elsewhere in both:
            await elsewhere.close()
