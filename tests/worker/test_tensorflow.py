"""TensorFlow behind the worker's interface, in workers of its own: importing it takes seconds."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from support import saved_models
from support.frameworks import needs
from support.workers import served
from wasmind.catalog.files import files_of
from wasmind.errors import InferenceTimeout, ModelDied, ModelLoadFailed
from wasmind.nn.signature import TensorSpec
from wasmind.nn.tensor import TensorType

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

pytestmark = [pytest.mark.slow, needs("tensorflow")]

MAKE = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
import numpy as np
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)

class M(tf.Module):
    def __init__(self):
        super().__init__()
        self.w = tf.Variable(np.random.default_rng(0).standard_normal((4, 3)).astype("float32"))
        self.total = tf.Variable(tf.zeros([3]))

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x"),
                                  tf.TensorSpec([], tf.float32, name="bias")])
    def two(self, x, bias):
        scores = tf.nn.softmax(x @ self.w + bias)
        return {"scores": scores, "best": tf.argmax(scores, axis=-1)}

    @tf.function(input_signature=[tf.TensorSpec([3], tf.float32, name="x")])
    def counter(self, x):
        self.total.assign_add(x)
        return {"y": self.total.read_value()}

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, name="x")])
    def forever(self, x):
        return {"y": tf.while_loop(lambda v: True, lambda v: v + 1, [x])[0]}

    @tf.function(input_signature=[tf.TensorSpec([1], tf.string, name="x")])
    def text(self, x):
        return {"y": tf.strings.length(x)}

module = M()
for name in ("two", "counter", "forever", "text"):
    signatures = {"serving_default": getattr(module, name)}
    tf.saved_model.save(module, os.path.join(sys.argv[1], name), signatures=signatures)
served = tf.saved_model.load(os.path.join(sys.argv[1], "two")).signatures["serving_default"]
x = np.random.default_rng(1).standard_normal((5, 4)).astype("float32")
found = {name: tensor.numpy() for name, tensor in served(x=tf.constant(x), bias=tf.constant(0.5)).items()}
np.savez(os.path.join(sys.argv[1], "two.npz"), x=x, **found)
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SavedModels as TensorFlow writes them, and what it computes itself."""
    directory = tmp_path_factory.mktemp("saved")
    subprocess.run([sys.executable, "-c", MAKE, directory], check=True, capture_output=True, timeout=240)
    return directory


def settings(path: Path, runtime: str = "tensorflow") -> dict[str, Any]:
    return {"files": files_of(path), "encoding": "tensorflow", "runtime": runtime}


async def test_results_are_those_of_the_framework_called_directly(models: Path, tmp_path: Path) -> None:
    """To a few units in the last place: threads sum in an order of their own."""
    direct = np.load(models / "two.npz")
    async with served(models / "two", tmp_path, **settings(models / "two")) as made:
        assert made.ready.signature.inputs == (
            TensorSpec("bias", TensorType.F32, ()),
            TensorSpec("x", TensorType.F32, (None, 4)),
        )
        best, scores = await made.infer(np.float32(0.5).reshape(()), direct["x"])
        assert np.allclose(scores, direct["scores"], rtol=1e-6, atol=0)
        assert best.tobytes() == direct["best"].tobytes()


@needs("openvino")
async def test_openvino_gives_the_same_names_and_nearly_the_same(models: Path, tmp_path: Path) -> None:
    direct = np.load(models / "two.npz")
    async with served(models / "two", tmp_path, **settings(models / "two", "openvino")) as made:
        names = [spec.name for spec in (*made.ready.signature.inputs, *made.ready.signature.outputs)]
        assert names == ["bias", "x", "best", "scores"]
        best, scores = await made.infer(np.float32(0.5).reshape(()), direct["x"])
        assert np.allclose(scores, direct["scores"], rtol=1e-5, atol=1e-6)
        assert best.tobytes() == direct["best"].tobytes()


async def test_what_a_run_leaves_behind_the_next_does_not_see(models: Path, tmp_path: Path) -> None:
    async with served(models / "counter", tmp_path, **settings(models / "counter"), instances=2) as made:
        for _ in range(4):
            assert (await made.infer(np.ones(3, np.float32)))[0].tolist() == [1.0, 1.0, 1.0]


async def test_a_run_without_end_is_stopped(models: Path, tmp_path: Path) -> None:
    path = models / "forever"
    async with served(path, tmp_path, **settings(path), warm_up=False, run_limit_ms=300.0) as made:
        with pytest.raises((InferenceTimeout, ModelDied)):
            await made.infer(np.float32(0).reshape(()))
        assert "went over its limit of 0.3 s" in (await made.process.wait()).reason


async def test_text_is_refused_with_what_to_do(models: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelLoadFailed, match="no wasi-nn tensor can hold") as caught:
        async with served(models / "text", tmp_path, **settings(models / "text")):
            pass
    assert "numeric" in (caught.value.remedy or "")


async def test_operators_that_keep_what_they_get_are_refused(tmp_path: Path) -> None:
    directory = tmp_path / "kept"
    directory.mkdir()
    stage = saved_models.node("keep", "Stage", ("twice",), dtypes=saved_models.field(1, b"\x32\x01\x01"))
    (directory / "saved_model.pb").write_bytes(saved_models.linear(stage, after=("keep",)))
    with pytest.raises(ModelLoadFailed, match="keeps what it is given") as caught:
        async with served(directory, tmp_path, **settings(directory)):
            pass
    assert "Stage" in (caught.value.cause or "")
