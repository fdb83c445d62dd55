"""Other inference servers, each in an environment of its own under build/tools/peers, serving ONNX models.
There too: wasmind with another package of onnxruntime.

As a program it makes the environments: `python -m support.peers`, with `tests` in PYTHONPATH.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PEERS = Path(__file__).resolve().parents[2] / "build" / "tools" / "peers"
ROOT = PEERS.parents[2]
PATIENCE_S = 90.0
INSTALL_S = 600.0
PACKAGES = {
    "triton": ("nvidia-pytriton==0.7.0", "numpy<2", "onnxruntime"),
    "mlserver": ("mlserver==1.7.1", "onnxruntime"),
    "kserve": ("kserve==0.21.0", "onnxruntime"),
    "webgpu": ("onnxruntime-webgpu==1.27.0", "-e", str(ROOT)),
    "plugin": ("onnxruntime==1.32.0", "onnxruntime-ep-webgpu==0.4.0", "-e", str(ROOT)),
}
Shapes = dict[str, list[int]]

TRITON_MODEL = """
import os
import numpy, onnxruntime
import triton_python_backend_utils as triton

class TritonPythonModel:
    def initialize(self, args):
        path = os.path.join(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(path)
        self.names = [one.name for one in self.session.get_inputs()]
        self.outputs = [one.name for one in self.session.get_outputs()]

    def execute(self, requests):
        answers = []
        for request in requests:
            inputs = {name: triton.get_input_tensor_by_name(request, name).as_numpy() for name in self.names}
            found = self.session.run(self.outputs, inputs)
            tensors = [triton.Tensor(*pair) for pair in zip(self.outputs, found)]
            answers.append(triton.InferenceResponse(output_tensors=tensors))
        return answers
"""

MLSERVER_MODEL = """
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse

class OnnxModel(MLModel):
    async def load(self):
        self.session = onnxruntime.InferenceSession(self.settings.parameters.uri)
        self.names = [one.name for one in self.session.get_outputs()]
        return True

    async def predict(self, request):
        inputs = {one.name: NumpyCodec.decode_input(one) for one in request.inputs}
        found = self.session.run(self.names, inputs)
        outputs = [NumpyCodec.encode_output(*pair) for pair in zip(self.names, found)]
        return InferenceResponse(model_name=self.name, outputs=outputs)
"""


KSERVE_MODEL = """
import json, sys
import numpy, onnxruntime
from kserve import InferOutput, InferResponse, Model, ModelServer

class OnnxModel(Model):
    def __init__(self, name, path, inputs, outputs):
        super().__init__(name)
        self.session = onnxruntime.InferenceSession(path)
        self.sides = [
            [{"name": name, "datatype": "FP32", "shape": dims} for name, dims in side.items()]
            for side in (inputs, outputs)
        ]
        self.ready = True

    def get_input_types(self):
        return self.sides[0]

    def get_output_types(self):
        return self.sides[1]

    def predict(self, payload, headers=None, response_headers=None):
        inputs = {one.name: one.as_numpy() for one in payload.inputs}
        names = [one["name"] for one in self.sides[1]]
        outputs = []
        for name, value in zip(names, self.session.run(names, inputs)):
            output = InferOutput(name, list(value.shape), "FP32")
            output.set_data_from_numpy(value, binary_data=payload.use_binary_outputs)
            outputs.append(output)
        return InferResponse(payload.id, self.name, outputs)

rest, rpc, models = json.loads(sys.argv.pop())
ModelServer(http_port=rest, grpc_port=rpc, workers=1).start([OnnxModel(*one) for one in models])
"""


@dataclass(frozen=True)
class Peer:
    """A running server: its REST and its gRPC address, its process."""

    rest: str
    grpc: str
    process: subprocess.Popen[bytes]


def environment(name: str) -> Path:
    """A server's virtual environment, made once. Skips the test where it cannot be."""
    place = PEERS / name
    if (place / "ready").exists():
        return place
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True, timeout=INSTALL_S)
        command = [place / "bin" / "pip", "install", "-q", "--disable-pip-version-check", *PACKAGES[name]]
        subprocess.run(command, check=True, timeout=INSTALL_S)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"{name} cannot be installed here: {error}")
    (place / "ready").touch()
    return place


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@contextmanager
def triton(directory: Path, models: Mapping[str, tuple[bytes, Shapes, Shapes]]) -> Iterator[Peer]:
    """Triton with FP32 models (bytes, inputs, outputs)."""
    place = environment("triton")
    site = next(place.glob("lib/python*/site-packages"))
    wheel = site / "pytriton" / "tritonserver"
    backend = directory / "backends" / "python"
    shutil.copytree(wheel / "backends" / "python", backend)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = wheel / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.exists():
        pytest.skip(f"this Triton has no Python backend for Python {version}")
    shutil.copy(stub, backend)
    (backend / "triton_python_backend_stub").chmod(0o755)
    for name, (data, inputs, outputs) in models.items():
        model = directory / "models" / name
        (model / "1").mkdir(parents=True)
        (model / "1" / "model.onnx").write_bytes(data)
        (model / "1" / "model.py").write_text(TRITON_MODEL)
        sides = "".join(
            f'{side} {{ name: "{tensor}" data_type: TYPE_FP32 dims: {dims} }}\n'
            for side, tensors in (("input", inputs), ("output", outputs))
            for tensor, dims in tensors.items()
        )
        (model / "config.pbtxt").write_text(f'backend: "python"\nmax_batch_size: 0\n{sides}')
    rest, rpc = free_ports(2)
    variables = {
        **os.environ,
        "LD_LIBRARY_PATH": str(site / "nvidia_pytriton.libs"),
        "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
    }
    command = [
        str(wheel / "bin" / "tritonserver"),
        f"--model-repository={directory / 'models'}",
        f"--backend-directory={directory / 'backends'}",
        "--model-control-mode=explicit",
        "--load-model=*",
        "--http-address=127.0.0.1",
        "--grpc-address=127.0.0.1",
        f"--http-port={rest}",
        f"--grpc-port={rpc}",
        "--allow-metrics=false",
    ]
    with _running(command, directory, variables, rest, rpc) as peer:
        yield peer


@contextmanager
def mlserver(directory: Path, models: Mapping[str, tuple[bytes, Shapes, Shapes]]) -> Iterator[Peer]:
    """MLServer with FP32 models (bytes, inputs, outputs)."""
    place = environment("mlserver")
    rest, rpc, metrics = free_ports(3)
    settings = {"host": "127.0.0.1", "http_port": rest, "grpc_port": rpc, "metrics_port": metrics}
    (directory / "settings.json").write_text(json.dumps(settings | {"parallel_workers": 0}))
    (directory / "onnx_runtime.py").write_text(MLSERVER_MODEL)
    for name, (data, inputs, outputs) in models.items():
        (directory / name).mkdir()
        (directory / name / "model.onnx").write_bytes(data)
        described = {
            "name": name,
            "implementation": "onnx_runtime.OnnxModel",
            "parameters": {"uri": str(directory / name / "model.onnx"), "version": "1"},
            "inputs": [{"name": n, "datatype": "FP32", "shape": dims} for n, dims in inputs.items()],
            "outputs": [{"name": n, "datatype": "FP32", "shape": dims} for n, dims in outputs.items()],
        }
        (directory / name / "model-settings.json").write_text(json.dumps(described))
    variables = {**os.environ, "PYTHONPATH": str(directory)}
    command = [str(place / "bin" / "mlserver"), "start", str(directory)]
    with _running(command, directory, variables, rest, rpc) as peer:
        yield peer


@contextmanager
def kserve(directory: Path, models: Mapping[str, tuple[bytes, Shapes, Shapes]]) -> Iterator[Peer]:
    """KServe's own ModelServer with FP32 models (bytes, inputs, outputs)."""
    place = environment("kserve")
    rest, rpc = free_ports(2)
    described = []
    for name, (data, inputs, outputs) in models.items():
        path = directory / f"{name}.onnx"
        path.write_bytes(data)
        described.append((name, str(path), inputs, outputs))
    (directory / "serve.py").write_text(KSERVE_MODEL)
    told = json.dumps((rest, rpc, described))
    command = [str(place / "bin" / "python"), str(directory / "serve.py"), told]
    with _running(command, directory, dict(os.environ), rest, rpc) as peer:
        yield peer


@contextmanager
def _running(
    command: list[str], directory: Path, variables: dict[str, str], rest: int, rpc: int
) -> Iterator[Peer]:
    log = directory / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=directory, env=variables, stdout=out, stderr=out, start_new_session=True
        )
    try:
        _await_ready(process, rest, log)
        yield Peer(f"http://127.0.0.1:{rest}", f"http://127.0.0.1:{rpc}", process)
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # and what it has started
        process.wait()


def _await_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=1) as answer:
                if answer.status == 200:
                    return
        except (OSError, urllib.error.URLError):
            time.sleep(0.1)
    raise AssertionError(f"it did not become ready:\n{log.read_text()[-3000:]}")


if __name__ == "__main__":
    for _name in PACKAGES:
        try:
            environment(_name)
        except pytest.skip.Exception as _skipped:
            print(_skipped)  # noqa: T201
