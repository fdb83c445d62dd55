"""Real servers give what the local runtime gives, by REST and by gRPC."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import peers
from support.onnx_models import add, linear
from wasmind.backends.oip.backend import OipBackend
from wasmind.backends.oip.connect import connect
from wasmind.cli.local import LocalModel
from wasmind.config import KServe, Model
from wasmind.errors import NnError
from wasmind.nn.backend import Backend
from wasmind.nn.tensor import Tensor, TensorType

pytestmark = pytest.mark.peers

MODELS = {
    "linear": (linear(), {"x": [1, 4]}, {"y": [1, 4]}),
    "add": (add(), {"x": [-1, 3], "y": [-1, 3]}, {"z": [-1, 3], "w": [-1, 3]}),
}
Start = Callable[[Path, Any], AbstractContextManager[tuple[str, str]]]


@pytest.fixture(scope="module", params=[peers.triton, peers.mlserver], ids=["triton", "mlserver"])
def peer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    start: Start = request.param
    with start(tmp_path_factory.mktemp("peer"), MODELS) as (rest, rpc):
        yield {"rest": rest, "grpc": rpc}


def remote(peer: dict[str, str], protocol: Any, model: str) -> OipBackend:
    settings = KServe(url=peer[protocol], model=model, protocol=protocol)
    return OipBackend(model, lambda: connect(settings, 100), when_down="fail")


def tensors(model: str, seed: int) -> tuple[Tensor, ...]:
    random = np.random.default_rng(seed)
    dims = [(1, 4)] if model == "linear" else [(5, 3), (5, 3)]
    return tuple(Tensor(TensorType.F32, d, random.normal(size=d).astype("<f4").tobytes()) for d in dims)


async def run(backend: Backend, inputs: tuple[Tensor, ...]) -> list[tuple[tuple[int, ...], bytes]]:
    outputs = await backend.infer(inputs, asyncio.get_running_loop().time() + 10, "t")
    found = [(tensor.dims, bytes(tensor.data)) for tensor in outputs.tensors]
    outputs.release()
    return found


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
@pytest.mark.parametrize("model", MODELS)
async def test_results_equal_the_local_runtime(peer: dict[str, str], protocol: str, model: str) -> None:
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
async def test_what_a_server_refuses_is_our_error(peer: dict[str, str], protocol: str) -> None:
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
