"""Every ONNX node case that native onnxruntime passes, through a real guest, the core ABI and a worker.

The outputs are native onnxruntime's, bit for bit.
"""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from conformance.onnx_cases import CARRIERS, TYPES, Case, cases
from wasmind.backends.process import ProcessBackend
from wasmind.catalog.files import files_of
from wasmind.config import Limits
from wasmind.errors import ModelNotFound
from wasmind.guest_api.command import INTERFACES
from wasmind.guest_api.host import CommandHost
from wasmind.guest_api.stdio import BytesSink, BytesSource
from wasmind.guest_api.wasi.state import Wasi
from wasmind.nn.graph import Graph
from wasmind.nn.session import Session
from wasmind.sandbox import Engine, Guest, Program, compile_program
from wasmind.worker.spawn import listen, spawn
from wasmind.worker.spec import WorkerSpec

SHARDS = 12
pytestmark = pytest.mark.slow


class OneModel:
    """A function's models: one, under the name "model"."""

    allow_load = False

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def resolve(self, name: str) -> Graph:
        if name != "model":
            raise ModelNotFound(name)
        return self._graph

    async def load(self, *_arguments: object) -> Graph:
        raise AssertionError("never called: allow_load is off")


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    built = tmp_path_factory.mktemp("runner") / "runner.wasm"
    source = Path(__file__).with_name("runner.c")
    words = [
        sys.executable,
        "-m",
        "ziglang",
        "cc",
        "-target",
        "wasm32-wasi",
        "-O2",
        "-s",
        str(source),
        "-o",
        str(built),
    ]
    subprocess.run(words, check=True, cwd=built.parent)
    return built.read_bytes()


@contextmanager
def engine() -> Iterator[Engine]:
    made = Engine()
    try:
        yield made
    finally:
        made.close()


def packed(case: Case) -> bytes:
    """The runner's stdin."""
    parts = [struct.pack("<I", len(case.inputs))]
    for array in case.inputs:
        number = TYPES.get(array.dtype.name, CARRIERS.get(array.dtype.name))
        data = np.ascontiguousarray(array).tobytes()
        parts.append(struct.pack(f"<II{array.ndim}II", number, array.ndim, *array.shape, len(data)))
        parts.append(data)
    return b"".join(parts)


def unpacked(data: bytes) -> list[bytes]:
    """The outputs in the runner's stdout."""
    found, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        found.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return found


async def through_guest(case: Case, program: Program, directory: Path) -> list[bytes]:
    path = directory / "model.onnx"
    path.write_bytes(case.model)
    listener = listen(directory / "s")
    worker = await spawn(
        WorkerSpec(name=case.name, files=files_of(path), encoding="onnx", runtime="onnx"), listener
    )
    try:
        ready = await worker.ready()
        backend = ProcessBackend(str(directory / "s"), case.name, ready.signature)
        limits = Limits(cpu_ms=5_000)
        stdout, notes = BytesSink(1 << 24), []
        wasi = Wasi(
            BytesSource(packed(case)), stdout, BytesSink(), (b"runner", b"model", b"%d" % len(case.outputs))
        )
        session = Session(OneModel(Graph("model", backend)), limits, "default")
        host = CommandHost(wasi, session, notes.append)
        guest = Guest(program, limits, host)
        try:
            await guest.run()
        except Exception as error:
            raise AssertionError(f"{error}; {notes}") from error
        finally:
            guest.close()
            host.close()
            await backend.close()
        return unpacked(stdout.value)
    finally:
        await worker.stop()
        listener.close()


@pytest.mark.parametrize("shard", range(SHARDS))
async def test_a_guest_gets_what_native_onnxruntime_gives(shard: int, runner: bytes, tmp_path: Path) -> None:
    wrong, count = {}, 0
    with engine() as host:
        artifact = await compile_program(runner, tmp_path / "cache", INTERFACES)
        program = Program.load(host, artifact, INTERFACES)
        for count, case in enumerate(cases(shard, SHARDS), 1):
            directory = tmp_path / str(count)
            directory.mkdir()
            try:
                outputs = await through_guest(case, program, directory)
            except Exception as error:  # noqa: BLE001 - collected, so that one run shows every case that fails
                wrong[case.name] = repr(error)[:300]
                continue
            if outputs != [np.ascontiguousarray(one).tobytes() for one in case.outputs]:
                wrong[case.name] = "other outputs than native onnxruntime's"
    assert count > 80
    assert wrong == {}
