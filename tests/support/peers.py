"""Other inference servers, each in an environment of its own under build/peers, serving ONNX models."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PEERS = Path(__file__).resolve().parents[2] / "build" / "peers"
PATIENCE_S = 90.0
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


def environment(name: str, *packages: str) -> Path:
    """A virtual environment with these packages; made once."""
    place = PEERS / name
    if not (place / "bin" / "pip").exists():
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
    if not (place / "ready").exists():
        subprocess.run([place / "bin" / "pip", "install", "-q", *packages], check=True)
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
def triton(directory: Path, models: Mapping[str, tuple[bytes, Shapes, Shapes]]) -> Iterator[tuple[str, str]]:
    """Triton with FP32 models (bytes, inputs, outputs); its REST and its gRPC address."""
    place = environment("triton", "nvidia-pytriton==0.7.0", "numpy<2", "onnxruntime")
    site = next(place.glob("lib/python*/site-packages"))
    wheel = site / "pytriton" / "tritonserver"
    backend = directory / "backends" / "python"
    shutil.copytree(wheel / "backends" / "python", backend)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copy(wheel / "python_backend_stubs" / version / "triton_python_backend_stub", backend)
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
    with _running(command, directory, variables, rest):
        yield f"http://127.0.0.1:{rest}", f"http://127.0.0.1:{rpc}"


@contextmanager
def mlserver(
    directory: Path, models: Mapping[str, tuple[bytes, Shapes, Shapes]]
) -> Iterator[tuple[str, str]]:
    """MLServer with FP32 models (bytes, inputs, outputs); its REST and its gRPC address."""
    place = environment("mlserver", "mlserver", "onnxruntime")
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
    with _running(command, directory, variables, rest):
        yield f"http://127.0.0.1:{rest}", f"http://127.0.0.1:{rpc}"


@contextmanager
def _running(command: list[str], directory: Path, variables: dict[str, str], port: int) -> Iterator[None]:
    log = directory / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=directory, env=variables, stdout=out, stderr=out)
    try:
        _await_ready(process, port, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
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
