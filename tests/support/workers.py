"""Real model workers: confined processes, each with a backend connected to it."""

from __future__ import annotations

import asyncio
import itertools
import threading
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from wasmind.backends.process import ProcessBackend
from wasmind.catalog.files import files_of
from wasmind.nn.tensor import Tensor, TensorType
from wasmind.worker.runtimes.base import DTYPES
from wasmind.worker.spawn import WorkerProcess, listen, spawn
from wasmind.worker.spec import Ready, WorkerSpec

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

KINDS = {dtype: kind for kind, dtype in DTYPES.items()}
_numbers = itertools.count()


@dataclass
class Client:
    """A model as an edge worker has it."""

    backend: ProcessBackend
    ready: Ready

    async def infer(
        self, *arrays: np.ndarray[Any, Any], seconds: float = 20.0, tenant: str = "t"
    ) -> list[np.ndarray[Any, Any]]:
        """Copy the inputs in and the outputs out, as a guest does."""
        leases = [self.backend.lease(array.nbytes) for array in arrays]
        inputs = []
        for array, lease in zip(arrays, leases, strict=True):
            lease.view[:] = array.tobytes()
            inputs.append(Tensor(KINDS[array.dtype], tuple(array.shape), lease.view))
        try:
            deadline = asyncio.get_running_loop().time() + seconds
            outputs = await self.backend.infer(tuple(inputs), deadline, tenant)
            try:
                return [array_of(tensor) for tensor in outputs.tensors]
            finally:
                outputs.release()
        finally:
            for lease in leases:
                lease.release()

    async def settled(self) -> None:
        """Wait until nothing is under way; then no memory of the arena may be taken."""
        for _ in range(1000):
            link = self.backend._link
            if link is not None and not link.calls:
                assert link.space.arena.used == 0
                assert not link.space.leases
                return
            await asyncio.sleep(0.005)
        pytest.fail("calls are still under way")


@dataclass
class Served(Client):
    """A model's process too."""

    spec: WorkerSpec
    listener: socket.socket
    process: WorkerProcess
    log: list[str]

    async def restart(self) -> None:
        """Another process in the place of one that died."""
        self.process = await spawn(self.spec, self.listener, log=self.log.append)
        self.ready = await self.process.ready()


def array_of(tensor: Tensor) -> np.ndarray[Any, Any]:
    return np.frombuffer(bytes(tensor.data), DTYPES[tensor.type]).reshape(tensor.dims)


def spec_of(path: Path, **settings: Any) -> WorkerSpec:
    return WorkerSpec(
        **({"name": path.stem, "files": files_of(path), "encoding": "onnx", "runtime": "onnx"} | settings)
    )


@asynccontextmanager
async def served(model: bytes | Path, directory: Path, **settings: Any) -> AsyncIterator[Served]:
    """Serve a model from a process of its own; `settings` are WorkerSpec's and ProcessBackend's."""
    if isinstance(model, bytes):
        path = directory / f"model{next(_numbers)}.onnx"
        path.write_bytes(model)
    else:
        path = model
    own = {
        key: settings.pop(key) for key in ("shared_memory", "queue", "when_down", "vigil") if key in settings
    }
    spec = spec_of(path, **settings)
    address = directory / f"{next(_numbers)}.sock"
    log: list[str] = []
    with listen(address) as listener:
        process = await spawn(spec, listener, log=log.append)
        try:
            ready = await process.ready()
            backend = ProcessBackend(str(address), spec.name, ready.signature, **own)
            made = Served(backend, ready, spec, listener, process, log)
            try:
                yield made
            finally:
                await backend.close()
                process = made.process
        finally:
            await process.stop(5.0)


@dataclass
class Standing:
    """A process that stands through a module's tests; each connects anew."""

    address: str
    ready: Ready
    pid: int

    @asynccontextmanager
    async def client(self, **own: Any) -> AsyncIterator[Client]:
        backend = ProcessBackend(self.address, "model", self.ready.signature, **own)
        yield Client(backend, self.ready)
        await backend.close()


@contextmanager
def standing(model: bytes | Path, directory: Path, **settings: Any) -> Iterator[Standing]:
    """Serve a model from a process that belongs to a loop in another thread."""
    made: Future[Standing] = Future()
    end = threading.Event()

    async def serve() -> None:
        async with served(model, directory, **settings) as own:
            made.set_result(Standing(own.backend._address, own.ready, own.process.pid))
            await asyncio.to_thread(end.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        yield made.result(30)
    finally:
        end.set()
        thread.join()


def f32(*values: float) -> np.ndarray[Any, Any]:
    return np.array(values, np.float32)


def tensor(array: np.ndarray[Any, Any]) -> Tensor:
    return Tensor(KINDS[array.dtype], tuple(array.shape), array.tobytes())


__all__ = ["Served", "TensorType", "array_of", "f32", "served", "spec_of", "tensor"]
