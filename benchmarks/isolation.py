"""What it costs to run a model in a process of its own.

The same inference with the same settings of onnxruntime, called in this process and through a confined
worker, in turns, so that a noisy machine disturbs both alike. The echo is the floor: the same bytes to a
process that sends them back. Prints the median of each, over all rounds and in the quietest round, and what
isolation adds.

    python benchmarks/isolation.py [--rounds 40] [--calls 200]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import select
import socket
import statistics
import tempfile
import time
import timeit
from functools import partial
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # as in a worker: it would start a thread

import numpy as np
import onnx
import onnxruntime
import uvloop
from onnx import TensorProto, helper

from wasmind.backends.process import ProcessBackend
from wasmind.backends.vigil import Vigil
from wasmind.catalog.files import files_of
from wasmind.demo.prepare import prepare
from wasmind.nn.tensor import Tensor, TensorType
from wasmind.worker.spawn import listen, spawn
from wasmind.worker.spec import WorkerSpec

SECONDS_A_ROUND = 0.25


def tiny(path: Path) -> tuple[int, ...]:
    """y = x · w, four to three: nothing but overhead."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, [4, 3], [0.5] * 12)
    _save(path, [helper.make_node("MatMul", ["x", "w"], ["y"])], [weights], (1, 4), (1, 3))
    return (1, 4)


def lasting(path: Path, target_ms: float) -> tuple[int, ...]:
    """Matrix products, one after the other, as many as take about so long; 64 KB in and out."""
    random = np.random.default_rng(0)
    weights = onnx.numpy_helper.from_array(
        (random.standard_normal((256, 256)) * 0.06).astype(np.float32), "w"
    )

    def build(layers: int) -> None:
        names = ["x", *(f"h{at}" for at in range(1, layers)), "y"]
        nodes = [helper.make_node("MatMul", [a, "w"], [b]) for a, b in itertools.pairwise(names)]
        _save(path, nodes, [weights], (64, 256), (64, 256))

    layers = 8
    for _ in range(3):  # the longer the model, the better the guess
        build(layers)
        session = directly(path)
        feed = {"x": np.zeros((64, 256), np.float32)}
        took = min(timeit.repeat(lambda: session.run(None, feed), number=1, repeat=20)) * 1e3  # noqa: B023
        layers = max(1, round(layers * target_ms / took))
    build(layers)
    return (64, 256)


def classifier(path: Path) -> tuple[int, ...]:
    """EfficientNet-Lite0 as the demo has it: 150 KB of pixels in, 4 KB out."""
    path.write_bytes(prepare(path.parent / "demo").model.read_bytes())
    return (1, 224, 224, 3)


def directly(path: Path) -> onnxruntime.InferenceSession:
    """The model in this process, set as in a worker."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _save(path: Path, nodes: list, weights: list, given: tuple[int, ...], taken: tuple[int, ...]) -> None:
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, given)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, taken)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)


def run_once(session: onnxruntime.InferenceSession, shape: tuple[int, ...]) -> None:
    """One inference on zeros."""
    given = session.get_inputs()[0]
    dtype = np.uint8 if given.type == "tensor(uint8)" else np.float32
    session.run(None, {given.name: np.zeros(shape, dtype)})


class Echo(asyncio.Protocol):
    """The other end of a process that sends back what it gets."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.answer.set_result(data)

    async def call(self) -> None:
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(b"x" * 64)
        await self.answer


def echo_process() -> socket.socket:
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        theirs.setblocking(False)
        poll = select.epoll()
        poll.register(theirs, select.EPOLLIN)
        while True:
            poll.poll()
            data = theirs.recv(4096)
            if not data:
                os._exit(0)
            theirs.send(data)
    theirs.close()
    return ours


async def measure(path: Path, shape: tuple[int, ...], echo: Echo, rounds: int, calls: int) -> None:
    session = directly(path)
    given, taken = session.get_inputs()[0], session.get_outputs()[0]
    pixels = given.type == "tensor(uint8)"
    random = np.random.default_rng(1)
    value = random.integers(0, 256, shape, np.uint8) if pixels else random.random(shape, dtype=np.float32)
    kind = TensorType.U8 if pixels else TensorType.F32
    address = path.with_suffix(".sock")
    listener = listen(address)
    spec = WorkerSpec(name=path.stem, files=files_of(path), encoding="onnx", runtime="onnx")
    worker = await spawn(spec, listener)
    # As an edge worker that serves one request at a time.
    signature = (await worker.ready()).signature
    backend = ProcessBackend(str(address), path.stem, signature, vigil=Vigil(lambda: True))
    loop = asyncio.get_running_loop()
    data = value.tobytes()
    backend.open()
    await asyncio.sleep(0.2)

    async def through_worker() -> bytes:
        lease = backend.lease(len(data))
        lease.view[:] = data  # as a guest's set_input does
        outputs = await backend.infer((Tensor(kind, shape, lease.view),), loop.time() + 60, "bench")
        result = bytes(outputs.tensors[0].data)  # as its get_output does
        outputs.release()
        lease.release()
        return result

    async def in_process() -> bytes:
        return session.run([taken.name], {given.name: value})[0].tobytes()

    assert await through_worker() == await in_process()
    ways = {"in process": in_process, "through the worker": through_worker, "echo": echo.call}
    medians: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            times = []
            for _ in range(calls):
                began = time.perf_counter_ns()
                await way()
                times.append((time.perf_counter_ns() - began) / 1e3)
            medians[name].append(statistics.median(times))
    await backend.close()
    await worker.stop()
    listener.close()
    print(f"\n{path.stem}: {kind.name.lower()} {list(shape)}, {rounds} rounds of {calls} calls; microseconds")
    for name, found in medians.items():
        print(f"  {name:<20} median {statistics.median(found):10.1f}   quietest round {min(found):10.1f}")
    alone, isolated = medians["in process"], medians["through the worker"]
    added = statistics.median(b - a for a, b in zip(alone, isolated, strict=True))
    quiet = min(isolated) - min(alone)
    ratio = statistics.median(b / a for a, b in zip(alone, isolated, strict=True))
    best = min(isolated) / min(alone)
    print(f"  isolation adds {added:.1f} (quietest: {quiet:.1f}); {ratio:.3f} times (quietest: {best:.3f})")


async def main(rounds: int, calls: int) -> None:
    sock = echo_process()
    _, echo = await asyncio.get_running_loop().create_unix_connection(Echo, sock=sock)
    with tempfile.TemporaryDirectory() as directory:
        kinds = {"tiny": tiny, "classifier": classifier}
        for target_ms in (0.1, 1, 10, 100):
            kinds[f"{target_ms} ms"] = partial(lasting, target_ms=target_ms)
        for name, make in kinds.items():
            path = Path(directory) / f"{name}.onnx"
            shape = make(path)
            once = min(timeit.repeat(partial(run_once, directly(path), shape), number=1, repeat=5))
            count = max(3, min(calls, round(SECONDS_A_ROUND / once)))
            await measure(path, shape, echo, rounds, count)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--calls", type=int, default=200)
    arguments = parser.parse_args()
    uvloop.run(main(arguments.rounds, arguments.calls))
